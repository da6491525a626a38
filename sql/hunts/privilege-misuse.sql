-- name: privilege-misuse
-- title: An admin action by a way that admins do not take
-- finds: administrative operations, done with an admin's role, that were called from a service from which admins never called them
-- why: a stolen admin session skips the admin portal with its checks and its audit trail
-- attack: T1078, T1098
-- window: 24h
-- param: history text = "28 days" — how far back the admins' ways are learned
-- param: admin_role text = "admin" — the role whose ways are learned
-- param: admin_operation text = "(?i)(admin|grant|revoke|delete|deactivate|impersonate|export)" — which operations are administrative, as a regular expression
-- param: min_samples int = 5 — an operation done fewer times by admins in the history is too rare to have a usual way
-- benign: a new admin tool; an emergency done by hand
-- next: ask the admin; look at the session's client address and auth method
WITH
-- Operations as their service knows them, with the service they were called from.
actions AS (
    SELECT trace_id, start_time, caller, callee, operation, user_id, role
    FROM service_calls
    WHERE start_time >= $from - CAST($history AS INTERVAL) AND start_time < $to
      AND array_has(roles, $admin_role)
      AND regexp_like(operation, $admin_operation)
),
counted AS (
    SELECT *,
        count(CASE WHEN start_time < $from THEN 1 END) OVER (PARTITION BY callee, operation, caller) AS times_this_way,
        count(CASE WHEN start_time < $from THEN 1 END) OVER (PARTITION BY callee, operation) AS usual_times
    FROM actions
),
usual AS (
    SELECT callee, operation, array_to_string(array_sort(array_agg(DISTINCT caller)), ', ') AS callers
    FROM actions
    WHERE start_time < $from
    GROUP BY callee, operation
),
per_trace AS (
    SELECT user_id, role, caller, callee, operation, trace_id,
        min(usual_times) AS usual_times, min(start_time) AS first_time, max(start_time) AS last_time
    FROM counted
    WHERE start_time >= $from AND times_this_way = 0 AND usual_times >= $min_samples
    GROUP BY user_id, role, caller, callee, operation, trace_id
),
with_path AS (
    SELECT per_trace.trace_id, per_trace.user_id, per_trace.role, per_trace.caller, per_trace.callee, per_trace.operation,
        per_trace.usual_times, per_trace.first_time, per_trace.last_time,
        trace_path(spans.service_name, spans.span_id, spans.parent_span_id, spans.start_time) AS path
    FROM per_trace
    JOIN spans ON spans.trace_id = per_trace.trace_id
    WHERE spans.start_time >= $from - INTERVAL '1 hour' AND spans.start_time < $to + INTERVAL '1 hour'
    GROUP BY per_trace.trace_id, per_trace.user_id, per_trace.role, per_trace.caller, per_trace.callee, per_trace.operation,
        per_trace.usual_times, per_trace.first_time, per_trace.last_time
)
SELECT
    with_path.user_id,
    with_path.role,
    with_path.callee AS service_name,
    with_path.operation,
    with_path.caller AS called_from,
    min(usual.callers) AS usually_called_from,
    min(with_path.usual_times) AS usual_times,
    min(with_path.path) AS service_path,
    min(with_path.first_time) AS first_time,
    max(with_path.last_time) AS last_time,
    count(*) AS traces,
    array_slice(array_agg(with_path.trace_id ORDER BY with_path.first_time, with_path.trace_id), 1, 10) AS trace_ids
FROM with_path
LEFT JOIN usual ON usual.callee = with_path.callee AND usual.operation = with_path.operation
GROUP BY with_path.user_id, with_path.role, with_path.callee, with_path.operation, with_path.caller
ORDER BY first_time, user_id, operation
