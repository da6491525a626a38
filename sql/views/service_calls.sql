-- Calls from one service to another: the span of the callee whose parent is a span of the caller, with its actor.
SELECT
    callee.trace_id,
    callee.span_id,
    callee.start_time,
    caller.service_name AS caller,
    callee.service_name AS callee,
    callee.name AS operation,
    actors.actor_role AS role,
    actors.actor_roles AS roles,
    actors.actor_user_id AS user_id,
    callee.duration_ns,
    callee.status_code
FROM spans AS callee
JOIN spans AS caller
    ON caller.trace_id = callee.trace_id
    AND caller.span_id = callee.parent_span_id
    AND caller.service_name <> callee.service_name
LEFT JOIN actors
    ON actors.trace_id = callee.trace_id
    AND actors.span_id = callee.span_id
