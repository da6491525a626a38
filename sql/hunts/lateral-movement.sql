-- name: lateral-movement
-- title: A service call that this role never made before
-- finds: calls from service to service that are new for the actor's role, made by few users, and not by a role that may go anywhere
-- why: a stolen or over-privileged token reaches services by ways that its role never takes
-- attack: T1550.001, T1021
-- window: 24h
-- param: history text = "28 days" — how far back known calls are looked for
-- param: min_samples int = 20 — a role with fewer calls, or a calling service with fewer spans, in the history is too new to judge
-- param: min_age text = "7 days" — and its first call must be at least this old
-- param: unless_role text = "admin" — roles that may go anywhere, separated by commas
-- param: max_users int = 5 — a new call made by more users than this is a release, not an intruder
-- benign: a feature tried by few users first; a role that was split in two
-- next: compare service_path with usual_callees; ask the owner of the callee
WITH
-- Each call with the role of its actor.
calls AS (
    SELECT trace_id, start_time, caller, callee, operation, role, roles, user_id
    FROM service_calls
    WHERE start_time >= $from - CAST($history AS INTERVAL) AND start_time < $to
),
-- What was before the window: of the call, of the call by this role, of the role.
counted AS (
    SELECT *,
        count(CASE WHEN start_time < $from THEN 1 END) OVER (PARTITION BY caller, callee) AS times_by_anybody,
        count(CASE WHEN start_time < $from THEN 1 END) OVER (PARTITION BY caller, callee, role) AS times_by_role,
        count(CASE WHEN start_time < $from THEN 1 END) OVER (PARTITION BY role) AS role_calls,
        min(start_time) OVER (PARTITION BY role) AS role_since
    FROM calls
),
-- Services that are known long enough to speak of new.
settled AS (
    SELECT service_name FROM spans
    WHERE start_time >= $from - CAST($history AS INTERVAL) AND start_time < $from
    GROUP BY service_name
    HAVING count(*) >= $min_samples AND min(start_time) <= $from - CAST($min_age AS INTERVAL)
),
usual AS (
    SELECT caller, role, array_to_string(array_sort(array_agg(DISTINCT callee)), ', ') AS callees
    FROM calls
    WHERE start_time < $from
    GROUP BY caller, role
),
-- Without a known role (parents lost) a call is new only if nobody ever made it.
new_calls AS (
    SELECT *
    FROM counted
    WHERE start_time >= $from
      AND CASE
            WHEN role IS NULL THEN times_by_anybody = 0
            ELSE times_by_role = 0 AND role_calls >= $min_samples AND role_since <= $from - CAST($min_age AS INTERVAL)
          END
      AND caller IN (SELECT service_name FROM settled)
      AND NOT coalesce(array_has_any(roles, string_to_array(replace($unless_role, ' ', ''), ',')), false)
),
few AS (
    SELECT caller, callee FROM new_calls
    GROUP BY caller, callee
    HAVING count(DISTINCT user_id) <= $max_users
),
per_trace AS (
    SELECT new_calls.trace_id, new_calls.user_id, new_calls.role, new_calls.caller, new_calls.callee,
           min(new_calls.operation) AS operation, min(new_calls.start_time) AS first_time, max(new_calls.start_time) AS last_time
    FROM new_calls
    JOIN few ON few.caller = new_calls.caller AND few.callee = new_calls.callee
    GROUP BY new_calls.trace_id, new_calls.user_id, new_calls.role, new_calls.caller, new_calls.callee
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
    per_trace.caller,
    per_trace.callee,
    min(per_trace.operation) AS operation,
    min(paths.path) AS service_path,
    min(usual.callees) AS usual_callees,
    min(per_trace.first_time) AS first_time,
    max(per_trace.last_time) AS last_time,
    count(*) AS traces,
    array_slice(array_agg(per_trace.trace_id ORDER BY per_trace.first_time, per_trace.trace_id), 1, 10) AS trace_ids
FROM per_trace
LEFT JOIN usual ON usual.caller = per_trace.caller AND (usual.role IS NOT DISTINCT FROM per_trace.role)
LEFT JOIN paths ON paths.trace_id = per_trace.trace_id
GROUP BY per_trace.user_id, per_trace.role, per_trace.caller, per_trace.callee
ORDER BY first_time, caller, callee, user_id
