-- name: credential-stuffing-distributed
-- title: Many users log in from one region that they never used, hardly any failed
-- finds: regions where far more users than usual log in within an hour, most of them for the first time from there
-- why: each account is used once or twice, so that no user's own count stands out; only the region does
-- attack: T1110.004, T1078
-- window: 24h
-- param: history text = "28 days" — how far back normal is learned
-- param: attempts text = "auth.login.attempts" — the metric of login attempts, a sum with user and region as attributes
-- param: failures text = "auth.login.failures" — the metric of failed ones; an attribute outcome on the attempts counts as well
-- param: factor double = 5 — flagged from this many times the median of the region's hours on
-- param: min_users int = 30 — and from this many users in an hour on
-- param: min_new_share double = 0.5 — and only if at least this share of them never logged in from there
-- param: max_error_rate double = 0.01 — and only below this share of failures
-- param: login_span text = "(?i)log.?in" — how login spans are named, to show traces
-- benign: a campaign in a new market; a new office or VPN exit
-- next: compare client addresses and user agents of the traces
WITH
points AS (
    SELECT series_id, name, temporality, time, start_time, user_id, region, value,
           lower(attributes['outcome']) AS outcome
    FROM metrics
    WHERE name IN ($attempts, $failures) AND kind = 'sum'
      AND time >= $from - CAST($history AS INTERVAL) AND time < $to
),
with_previous AS (
    SELECT *,
        lag(value) OVER (PARTITION BY series_id ORDER BY time) AS previous,
        lag(start_time) OVER (PARTITION BY series_id ORDER BY time) AS previous_start
    FROM points
),
-- Logins behind each point: as in credential-stuffing.
counted AS (
    SELECT user_id, region, time,
        CASE
            WHEN temporality = 'DELTA' THEN value
            WHEN previous IS NULL AND start_time >= time - INTERVAL '1 day' THEN value
            WHEN previous IS NULL THEN 0
            WHEN start_time <> previous_start OR value < previous THEN value
            ELSE value - previous
        END AS logins,
        name = $failures AS is_failure_metric,
        name = $failures OR coalesce(outcome IN ('failure', 'failed', 'error'), false) AS is_failure
    FROM with_previous
    WHERE user_id IS NOT NULL AND region IS NOT NULL
),
known AS (
    SELECT DISTINCT user_id, region FROM counted
    WHERE time < $from AND logins > 0 AND NOT is_failure_metric
),
hours AS (
    SELECT counted.region,
        date_bin(INTERVAL '1 hour', counted.time, $to) AS hour,
        count(DISTINCT counted.user_id) AS users,
        count(DISTINCT counted.user_id) FILTER (WHERE known.user_id IS NULL) AS new_users,
        coalesce(sum(counted.logins) FILTER (WHERE NOT counted.is_failure_metric), 0) AS logins,
        coalesce(sum(counted.logins) FILTER (WHERE counted.is_failure), 0) AS failures
    FROM counted
    LEFT JOIN known ON known.user_id = counted.user_id AND known.region = counted.region
    WHERE counted.logins > 0
    GROUP BY counted.region, date_bin(INTERVAL '1 hour', counted.time, $to)
),
-- Median and MAD of the region's hours before the window.
with_past AS (
    SELECT *,
        hour >= date_bin(INTERVAL '1 hour', $from, $to) AS in_window,
        CASE WHEN hour < date_bin(INTERVAL '1 hour', $from, $to) THEN CAST(users AS DOUBLE) END AS past
    FROM hours
),
with_median AS (SELECT *, median(past) OVER (PARTITION BY region) AS median FROM with_past),
compared AS (
    SELECT *,
        coalesce(median, 0) AS usual,
        coalesce(1.4826 * median(abs(past - median)) OVER (PARTITION BY region), 0) AS mad
    FROM with_median
),
flagged AS (
    SELECT *, (users - usual) / greatest(mad, sqrt(usual), 1) AS z
    FROM compared
    WHERE in_window
      AND users >= $min_users
      AND users >= $factor * usual
      AND new_users >= $min_new_share * users
      AND failures < $max_error_rate * logins
      AND (users - usual) / greatest(mad, sqrt(usual), 1) >= 4
),
login_traces AS (
    SELECT region, trace_id, min(user_id) AS user_id, min(start_time) AS first_time, max(start_time) AS last_time
    FROM spans
    WHERE start_time >= $from AND start_time < $to
      AND region IN (SELECT region FROM flagged) AND regexp_like(name, $login_span)
    GROUP BY region, trace_id
),
-- One row per region and its worst hour.
worst AS (
    SELECT * FROM (
        SELECT *, row_number() OVER (PARTITION BY region ORDER BY users DESC, hour) AS place FROM flagged
    )
    WHERE place = 1
)
SELECT
    worst.region,
    worst.hour AS window_start,
    worst.users,
    worst.new_users,
    worst.usual AS usual_users,
    round(worst.z, 1) AS z,
    CAST(worst.logins AS BIGINT) AS logins,
    CAST(worst.failures AS BIGINT) AS failures,
    min(login_traces.first_time) AS first_time,
    max(login_traces.last_time) AS last_time,
    array_slice(array_agg(login_traces.user_id ORDER BY login_traces.first_time, login_traces.trace_id) FILTER (WHERE login_traces.trace_id IS NOT NULL), 1, 10) AS user_ids,
    count(login_traces.trace_id) AS traces,
    array_slice(array_agg(login_traces.trace_id ORDER BY login_traces.first_time, login_traces.trace_id) FILTER (WHERE login_traces.trace_id IS NOT NULL), 1, 10) AS trace_ids
FROM worst
LEFT JOIN login_traces ON login_traces.region = worst.region
GROUP BY worst.region, worst.hour, worst.users, worst.new_users, worst.usual, worst.z, worst.logins, worst.failures
ORDER BY z DESC, region
