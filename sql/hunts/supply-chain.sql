-- name: supply-chain
-- title: A service calls a new domain, works harder, and logs no error
-- finds: services that called a domain for the first time and whose CPU or network use then jumped, while their logs stayed clean
-- why: a poisoned dependency phones home and mines or copies; it breaks nothing, so nothing is logged
-- attack: T1195.002, T1496
-- window: 24h
-- param: history text = "28 days" — how far back known domains and usual load are learned
-- param: min_age text = "7 days" — a service first seen later than this before the window is too new to judge
-- param: usage text = "(^|[.])(cpu[.](utilization|usage|time)|network[.]io)$" — the metrics of CPU and network use, as a regular expression
-- param: factor double = 1.5 — a jump is at least this many times the median hour
-- param: max_error_share double = 0.01 — logs are clean below this share of errors
-- param: internal text = "(^|[.])(internal|local|localhost|svc|lan|corp|home[.]arpa)$|^[^.:]*$|^(10|127)[.]|^192[.]168[.]|^172[.](1[6-9]|2[0-9]|3[01])[.]|^169[.]254[.]|^::1$|^f[cd][0-9a-f]{2}:|^fe80:" — which hosts are the company's own, as a regular expression
-- benign: a release that does more work and calls a new supplier
-- next: compare the dependencies of the last two builds; look at the spans that made the calls
WITH
calls AS (
    SELECT trace_id, start_time, service_name, name, lower(peer_address) AS host,
        CASE
            WHEN regexp_like(peer_address, '^[0-9.]+$') OR peer_address LIKE '%:%' THEN lower(peer_address)
            ELSE regexp_replace(lower(peer_address), '^.*?([^.]+[.](?:(?:co|com|net|org|gov|ac|edu)[.][a-z]{2}|[a-z0-9-]+))$', '\1')
        END AS domain
    FROM spans
    WHERE peer_address IS NOT NULL
      AND NOT regexp_like(lower(peer_address), $internal)
      AND start_time >= $from - CAST($history AS INTERVAL) AND start_time < $to
),
services AS (
    SELECT service_name, min(start_time) AS since
    FROM spans
    WHERE start_time >= $from - CAST($history AS INTERVAL) AND start_time < $from
    GROUP BY service_name
),
seen AS (
    SELECT *, min(start_time) OVER (PARTITION BY service_name, domain) AS first_seen FROM calls
),
per_trace AS (
    SELECT seen.service_name, seen.domain, seen.trace_id, min(seen.start_time) AS first_time, max(seen.start_time) AS last_time
    FROM seen
    JOIN services ON services.service_name = seen.service_name
    WHERE seen.first_seen >= $from
      AND services.since <= $from - CAST($min_age AS INTERVAL)
    GROUP BY seen.service_name, seen.domain, seen.trace_id
),
who AS (
    SELECT trace_id, min(actor_user_id) AS user_id
    FROM actors
    WHERE trace_id IN (SELECT trace_id FROM per_trace)
    GROUP BY trace_id
),
contacts AS (
    SELECT service_name, domain, min(first_time) AS first_time, max(last_time) AS last_time, count(*) AS traces,
        count(DISTINCT who.user_id) AS users,
        array_slice(array_agg(per_trace.trace_id ORDER BY first_time, per_trace.trace_id), 1, 10) AS trace_ids
    FROM per_trace
    LEFT JOIN who ON who.trace_id = per_trace.trace_id
    GROUP BY service_name, domain
),
points AS (
    SELECT service_name, name, kind, temporality, time, start_time, value,
        lag(value) OVER (PARTITION BY series_id ORDER BY time) AS previous,
        lag(start_time) OVER (PARTITION BY series_id ORDER BY time) AS previous_start
    FROM metrics
    WHERE regexp_like(name, $usage) AND kind IN ('gauge', 'sum')
      AND time >= $from - CAST($history AS INTERVAL) AND time < $to
),
-- Per hour: the mean of a gauge, the sum of what a counter rose by (its value after a reset).
hours AS (
    SELECT service_name, name AS measure, date_trunc('hour', time) AS hour,
        CASE WHEN min(kind) = 'gauge' THEN avg(value) ELSE
            sum(CASE
                WHEN temporality = 'DELTA' THEN value
                WHEN previous IS NULL THEN 0
                WHEN start_time <> previous_start OR value < previous THEN value
                ELSE value - previous
            END)
        END AS used
    FROM points
    GROUP BY service_name, name, date_trunc('hour', time)
),
-- Median and MAD of the hours before the window.
with_median AS (
    SELECT *,
        CASE WHEN hour < date_trunc('hour', $from) THEN used END AS past,
        median(CASE WHEN hour < date_trunc('hour', $from) THEN used END) OVER (PARTITION BY service_name, measure) AS median
    FROM hours
),
compared AS (
    SELECT *, 1.4826 * median(abs(past - median)) OVER (PARTITION BY service_name, measure) AS mad FROM with_median
),
jumps AS (
    SELECT contacts.*, compared.measure, compared.hour, compared.used, compared.median,
        (compared.used - compared.median) / greatest(compared.mad, 0.05 * compared.median, 1e-9) AS z
    FROM contacts
    JOIN compared ON compared.service_name = contacts.service_name
    WHERE compared.hour >= date_trunc('hour', contacts.first_time)
      AND compared.used >= $factor * compared.median
      AND (compared.used - compared.median) / greatest(compared.mad, 0.05 * compared.median, 1e-9) >= 4
),
-- The highest hour of each measure.
peaks AS (
    SELECT * FROM (
        SELECT *,
            row_number() OVER (PARTITION BY service_name, domain, measure ORDER BY used DESC, hour) AS place,
            min(hour) OVER (PARTITION BY service_name, domain) AS begins,
            max(hour) OVER (PARTITION BY service_name, domain) AS ends
        FROM jumps
    )
    WHERE place = 1
),
logged AS (
    SELECT peaks.service_name, peaks.domain,
        count(logs.time) AS records, count(logs.time) FILTER (WHERE logs.severity_number >= 17) AS errors
    FROM (SELECT DISTINCT service_name, domain, begins, ends FROM peaks) AS peaks
    LEFT JOIN logs ON logs.service_name = peaks.service_name
        AND logs.time >= peaks.begins AND logs.time < peaks.ends + INTERVAL '1 hour'
        AND logs.time >= $from AND logs.time < $to
    GROUP BY peaks.service_name, peaks.domain
)
SELECT
    peaks.service_name,
    peaks.domain,
    string_agg(peaks.measure || ' ' || CAST(round(peaks.used / peaks.median, 1) AS VARCHAR) || ' times usual', ', ' ORDER BY peaks.measure) AS jumps,
    round(max(peaks.z), 1) AS z,
    max(logged.errors) AS error_logs,
    max(logged.records) AS logs,
    max(peaks.users) AS users,
    peaks.first_time,
    peaks.last_time,
    peaks.traces,
    peaks.trace_ids
FROM peaks
JOIN logged ON logged.service_name = peaks.service_name AND logged.domain = peaks.domain
WHERE logged.errors <= $max_error_share * logged.records
GROUP BY peaks.service_name, peaks.domain, peaks.first_time, peaks.last_time, peaks.traces, peaks.trace_ids
ORDER BY first_time, service_name, domain
