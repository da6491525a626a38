-- name: api-scraping
-- title: Very many requests by one principal, hardly any failed
-- finds: users whose traces in a day are far above their own baseline, or their role's, while few of them fail
-- why: a scraper stays inside every rate limit and gets valid answers; only the sum over a day shows it
-- attack: T1119, T1213
-- window: 24h
-- param: history text = "28 days" — how far back normal is learned
-- param: factor double = 5 — flagged from this many times the median on
-- param: min_traces int = 200 — and from this many traces a day on
-- param: max_error_rate double = 0.05 — and only below this share of failed traces
-- param: min_days int = 5 — with fewer active days in the history, the user is compared with users of the same role
-- benign: a new integration or a load test with a person's account
-- next: look at what was read (operations), and whether it walks through all ids
WITH
requests AS (
    SELECT user_id, trace_id, min(role) AS role, min(start_time) AS time,
        min(service_name) AS service_name, max(name) AS operation, bool_or(status_code = 'ERROR') AS failed
    FROM spans
    WHERE user_id IS NOT NULL
      AND start_time >= $from - CAST($history AS INTERVAL) AND start_time < $to
    GROUP BY user_id, trace_id
),
-- Days are counted back from the end of the window.
days AS (
    SELECT user_id, min(role) AS role,
        date_bin(INTERVAL '1 day', time, $to) AS day,
        CAST(count(*) AS DOUBLE) AS traces,
        CAST(count(*) FILTER (WHERE failed) AS DOUBLE) AS failures
    FROM requests
    GROUP BY user_id, date_bin(INTERVAL '1 day', time, $to)
),
-- Median and MAD of the days before the window, of the user and of all users of the role.
with_past AS (
    SELECT *,
        day >= date_bin(INTERVAL '1 day', $from, $to) AS in_window,
        CASE WHEN day < date_bin(INTERVAL '1 day', $from, $to) THEN traces END AS past
    FROM days
),
with_median AS (
    SELECT *,
        count(past) OVER (PARTITION BY user_id) AS own_days,
        median(past) OVER (PARTITION BY user_id) AS own_median,
        median(past) OVER (PARTITION BY role) AS role_median
    FROM with_past
),
with_mad AS (
    SELECT *,
        1.4826 * median(abs(past - own_median)) OVER (PARTITION BY user_id) AS own_mad,
        1.4826 * median(abs(past - role_median)) OVER (PARTITION BY role) AS role_mad
    FROM with_median
),
compared AS (
    SELECT user_id, role, day, traces, failures,
        CASE WHEN own_days >= $min_days THEN 'user' ELSE 'role' END AS baseline,
        CASE WHEN own_days >= $min_days THEN own_median ELSE coalesce(role_median, 0) END AS usual,
        CASE WHEN own_days >= $min_days THEN own_mad ELSE coalesce(role_mad, 0) END AS mad
    FROM with_mad
    WHERE in_window
),
flagged AS (
    SELECT *, (traces - usual) / greatest(mad, sqrt(usual), 1) AS z
    FROM compared
    WHERE traces >= $min_traces
      AND traces >= $factor * usual
      AND failures < $max_error_rate * traces
      AND (traces - usual) / greatest(mad, sqrt(usual), 1) >= 4
)
SELECT
    flagged.user_id,
    flagged.role,
    CAST(flagged.traces AS BIGINT) AS traces,
    flagged.usual AS usual_traces,
    round(flagged.z, 1) AS z,
    flagged.baseline,
    CAST(flagged.failures AS BIGINT) AS failures,
    array_to_string(array_slice(array_sort(array_agg(DISTINCT requests.service_name || ' ' || requests.operation)), 1, 5), ', ') AS operations,
    min(requests.time) AS first_time,
    max(requests.time) AS last_time,
    array_slice(array_agg(requests.trace_id ORDER BY requests.time, requests.trace_id), 1, 10) AS trace_ids
FROM flagged
JOIN requests ON requests.user_id = flagged.user_id
WHERE requests.time >= $from AND date_bin(INTERVAL '1 day', requests.time, $to) = flagged.day
GROUP BY flagged.user_id, flagged.role, flagged.day, flagged.traces, flagged.usual, flagged.z, flagged.baseline, flagged.failures
ORDER BY z DESC, user_id
