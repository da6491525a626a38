-- name: credential-stuffing
-- title: Far more logins of one user than usual, hardly any failed
-- finds: users whose logins in a day are far above their own baseline (median and MAD) while the error rate stays below a bound
-- why: replayed valid credentials cause no failed logins, so alerts on failures stay silent; the metric counts every attempt
-- attack: T1110.004, T1078
-- window: 24h
-- param: history text = "28 days" — how far back normal is learned
-- param: attempts text = "auth.login.attempts" — the metric of login attempts, a sum with the user as attribute
-- param: failures text = "auth.login.failures" — the metric of failed ones; an attribute outcome on the attempts counts as well
-- param: factor double = 5 — flagged from this many times the median on
-- param: min_logins int = 20 — and from this many logins a day on, since five times nothing means nothing
-- param: max_error_rate double = 0.01 — and only below this share of failures
-- param: min_days int = 5 — with fewer days of logins in the history, the user is compared with all users
-- param: login_span text = "(?i)log.?in" — how login spans are named, to show traces
-- benign: a script that got a person's credentials; a test account that is new
-- next: look at the regions and client addresses of the traces; compare with the user's earlier sessions
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
-- Logins behind each point. DELTA: the value. CUMULATIVE: the rise since the point before; after a reset
-- (a new start time, or a fall) the value; for the first point of a series, the value if counting began within a day.
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
    WHERE user_id IS NOT NULL
),
-- Days are counted back from the end of the window.
days AS (
    SELECT user_id,
        date_bin(INTERVAL '1 day', time, $to) AS day,
        coalesce(sum(logins) FILTER (WHERE NOT is_failure_metric), 0) AS logins,
        coalesce(sum(logins) FILTER (WHERE is_failure), 0) AS failures,
        array_to_string(array_sort(array_agg(DISTINCT region)), ', ') AS regions
    FROM counted
    WHERE logins > 0
    GROUP BY user_id, date_bin(INTERVAL '1 day', time, $to)
),
-- Median and MAD of the days before the window, of the user and of all users.
with_past AS (
    SELECT *,
        day >= date_bin(INTERVAL '1 day', $from, $to) AS in_window,
        CASE WHEN day < date_bin(INTERVAL '1 day', $from, $to) THEN logins END AS past
    FROM days
),
with_median AS (
    SELECT *,
        count(past) OVER (PARTITION BY user_id) AS own_days,
        median(past) OVER (PARTITION BY user_id) AS own_median,
        median(past) OVER () AS all_median
    FROM with_past
),
with_mad AS (
    SELECT *,
        1.4826 * median(abs(past - own_median)) OVER (PARTITION BY user_id) AS own_mad,
        1.4826 * median(abs(past - all_median)) OVER () AS all_mad
    FROM with_median
),
compared AS (
    SELECT user_id, day, logins, failures, regions,
        CASE WHEN own_days >= $min_days THEN 'user' ELSE 'all users' END AS baseline,
        CASE WHEN own_days >= $min_days THEN own_median ELSE coalesce(all_median, 0) END AS usual,
        CASE WHEN own_days >= $min_days THEN own_mad ELSE coalesce(all_mad, 0) END AS mad
    FROM with_mad
    WHERE in_window
),
flagged AS (
    SELECT *, (logins - usual) / greatest(mad, sqrt(usual), 1) AS z
    FROM compared
    WHERE logins >= $min_logins
      AND logins >= $factor * usual
      AND failures < $max_error_rate * logins
      AND (logins - usual) / greatest(mad, sqrt(usual), 1) >= 4
),
login_traces AS (
    SELECT user_id, trace_id, min(role) AS role, min(start_time) AS first_time, max(start_time) AS last_time
    FROM spans
    WHERE start_time >= $from AND start_time < $to
      AND user_id IN (SELECT user_id FROM flagged) AND regexp_like(name, $login_span)
    GROUP BY user_id, trace_id
)
SELECT
    flagged.user_id,
    min(login_traces.role) AS role,
    flagged.regions,
    CAST(flagged.logins AS BIGINT) AS logins,
    flagged.usual AS usual_logins,
    round(flagged.z, 1) AS z,
    flagged.baseline,
    CAST(flagged.failures AS BIGINT) AS failures,
    flagged.day AS window_start,
    min(login_traces.first_time) AS first_time,
    max(login_traces.last_time) AS last_time,
    count(login_traces.trace_id) AS traces,
    array_slice(array_agg(login_traces.trace_id ORDER BY login_traces.first_time, login_traces.trace_id) FILTER (WHERE login_traces.trace_id IS NOT NULL), 1, 10) AS trace_ids
FROM flagged
LEFT JOIN login_traces ON login_traces.user_id = flagged.user_id
GROUP BY flagged.user_id, flagged.regions, flagged.logins, flagged.usual, flagged.z, flagged.baseline, flagged.failures, flagged.day
ORDER BY z DESC, user_id
