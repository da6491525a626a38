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
per_trace AS (
    SELECT trace_id, user_id, role, caller, callee,
        min(operation) AS operation, min(start_time) AS first_time, max(start_time) AS last_time
    FROM new_calls
    GROUP BY trace_id, user_id, role, caller, callee
),
-- How many users made the new call: the highest number that numbering them gives.
numbered AS (
    SELECT *, dense_rank() OVER (PARTITION BY caller, callee ORDER BY user_id) AS user_number FROM per_trace
),
few AS (
    SELECT * FROM (SELECT *, max(user_number) OVER (PARTITION BY caller, callee) AS users FROM numbered)
    WHERE users <= $max_users
),
with_path AS (
    SELECT few.trace_id, few.user_id, few.role, few.caller, few.callee, few.operation, few.first_time, few.last_time,
        trace_path(spans.service_name, spans.span_id, spans.parent_span_id, spans.start_time) AS path
    FROM few
    JOIN spans ON spans.trace_id = few.trace_id
    WHERE spans.start_time >= $from - INTERVAL '1 hour' AND spans.start_time < $to + INTERVAL '1 hour'
    GROUP BY few.trace_id, few.user_id, few.role, few.caller, few.callee, few.operation, few.first_time, few.last_time
)
SELECT
    with_path.user_id,
    with_path.role,
    with_path.caller,
    with_path.callee,
    min(with_path.operation) AS operation,
    min(with_path.path) AS service_path,
    min(usual.callees) AS usual_callees,
    min(with_path.first_time) AS first_time,
    max(with_path.last_time) AS last_time,
    count(*) AS traces,
    array_slice(array_agg(with_path.trace_id ORDER BY with_path.first_time, with_path.trace_id), 1, 10) AS trace_ids
FROM with_path
LEFT JOIN usual ON usual.caller = with_path.caller AND (usual.role IS NOT DISTINCT FROM with_path.role)
GROUP BY with_path.user_id, with_path.role, with_path.caller, with_path.callee
ORDER BY first_time, caller, callee, user_id
