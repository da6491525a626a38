-- Who acted, for every span: the user of the span itself, else of the nearest span above it.
-- Ask for the traces you mean, so that only those are computed:
--   WHERE trace_id IN (SELECT trace_id FROM …)   or   WHERE trace_id = '…'
SELECT
    trace_id,
    actor['span_id'] AS span_id,
    actor['actor_user_id'] AS actor_user_id,
    actor['actor_roles'] AS actor_roles,
    actor['actor_role'] AS actor_role,
    actor['actor_source'] AS actor_source
FROM (
    SELECT trace_id, unnest(actors) AS actor
    FROM (
        SELECT trace_id, trace_actors(span_id, parent_span_id, start_time, user_id, roles) AS actors
        FROM spans
        GROUP BY trace_id
    )
)
