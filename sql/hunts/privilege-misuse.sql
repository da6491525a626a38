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
ways AS (
    SELECT caller, callee, operation, count(*) AS times
    FROM actions
    WHERE start_time < $from
    GROUP BY caller, callee, operation
),
settled AS (
    SELECT callee, operation, array_to_string(array_sort(array_agg(DISTINCT caller)), ', ') AS callers, sum(times) AS times
    FROM ways
    GROUP BY callee, operation
    HAVING sum(times) >= $min_samples
),
per_trace AS (
    SELECT actions.user_id, actions.role, actions.caller, actions.callee, actions.operation, actions.trace_id,
        min(actions.start_time) AS first_time, max(actions.start_time) AS last_time
    FROM actions
    WHERE actions.start_time >= $from
      AND NOT EXISTS (
          SELECT 1 FROM ways
          WHERE ways.caller = actions.caller AND ways.callee = actions.callee AND ways.operation = actions.operation
      )
    GROUP BY actions.user_id, actions.role, actions.caller, actions.callee, actions.operation, actions.trace_id
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
    min(settled.callers) AS usually_called_from,
    min(settled.times) AS usual_times,
    min(paths.path) AS service_path,
    min(per_trace.first_time) AS first_time,
    max(per_trace.last_time) AS last_time,
    count(*) AS traces,
    array_slice(array_agg(per_trace.trace_id ORDER BY per_trace.first_time, per_trace.trace_id), 1, 10) AS trace_ids
FROM per_trace
JOIN settled ON settled.callee = per_trace.callee AND settled.operation = per_trace.operation
LEFT JOIN paths ON paths.trace_id = per_trace.trace_id
GROUP BY per_trace.user_id, per_trace.role, per_trace.callee, per_trace.operation, per_trace.caller
ORDER BY first_time, user_id, operation
