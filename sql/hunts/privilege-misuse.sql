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
paths AS (
    SELECT trace_id, trace_path(service_name, span_id, parent_span_id, start_time) AS path
    FROM spans
    WHERE trace_id IN (SELECT trace_id FROM per_trace)
      AND start_time >= $from - INTERVAL '1 hour' AND start_time < $to + INTERVAL '1 hour'
    GROUP BY trace_id
)
SELECT
    per_trace.user_id,
    per_trace.role,
    per_trace.callee AS service_name,
    per_trace.operation,
    per_trace.caller AS called_from,
    min(usual.callers) AS usually_called_from,
    min(per_trace.usual_times) AS usual_times,
    min(paths.path) AS service_path,
    min(per_trace.first_time) AS first_time,
    max(per_trace.last_time) AS last_time,
    count(*) AS traces,
    array_slice(array_agg(per_trace.trace_id ORDER BY per_trace.first_time, per_trace.trace_id), 1, 10) AS trace_ids
FROM per_trace
LEFT JOIN usual ON usual.callee = per_trace.callee AND usual.operation = per_trace.operation
LEFT JOIN paths ON paths.trace_id = per_trace.trace_id
GROUP BY per_trace.user_id, per_trace.role, per_trace.callee, per_trace.operation, per_trace.caller
ORDER BY first_time, user_id, operation
