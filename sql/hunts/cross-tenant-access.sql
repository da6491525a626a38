-- name: cross-tenant-access
-- title: Data of one tenant, read with the token of another
-- finds: users whose request carried one application tenant and touched data of another, and whose roles do not allow that
-- why: a broken tenant check answers with 200; only the two tenants in one trace show it
-- attack: T1078.004, T1530
-- window: 24h
-- param: allowed_roles text = "admin, support, service" — roles that serve all tenants, separated by commas
-- benign: users who belong to several tenants; shared reference data without a tenant of its own
-- next: check whether the requests walk through ids; find the missing check in the service
WITH
touched AS (
    SELECT trace_id, span_id, start_time, service_name, name, app_tenant_id, resource_tenant_id
    FROM spans
    WHERE resource_tenant_id IS NOT NULL AND start_time >= $from AND start_time < $to
),
-- The caller's tenant stands at the entry of the request, an hour earlier at most.
tenants AS (
    SELECT trace_id, first_value(app_tenant_id ORDER BY start_time) AS app_tenant_id
    FROM spans
    WHERE app_tenant_id IS NOT NULL
      AND trace_id IN (SELECT trace_id FROM touched)
      AND start_time >= $from - INTERVAL '1 hour' AND start_time < $to + INTERVAL '1 hour'
    GROUP BY trace_id
),
crossed AS (
    SELECT touched.trace_id, touched.span_id, touched.start_time, touched.service_name, touched.name,
        coalesce(touched.app_tenant_id, tenants.app_tenant_id) AS app_tenant_id, touched.resource_tenant_id
    FROM touched
    JOIN tenants ON tenants.trace_id = touched.trace_id
    WHERE coalesce(touched.app_tenant_id, tenants.app_tenant_id) <> touched.resource_tenant_id
),
who AS (
    SELECT trace_id, span_id, actor_user_id, actor_roles, actor_role
    FROM actors
    WHERE trace_id IN (SELECT trace_id FROM crossed)
),
per_trace AS (
    SELECT who.actor_user_id AS user_id, who.actor_role AS role, crossed.app_tenant_id, crossed.resource_tenant_id,
        crossed.service_name, crossed.trace_id, count(*) AS touches, min(crossed.name) AS operation,
        min(crossed.start_time) AS first_time, max(crossed.start_time) AS last_time
    FROM crossed
    LEFT JOIN who ON who.trace_id = crossed.trace_id AND who.span_id = crossed.span_id
    WHERE NOT coalesce(array_has_any(who.actor_roles, string_to_array(replace($allowed_roles, ' ', ''), ',')), false)
    GROUP BY who.actor_user_id, who.actor_role, crossed.app_tenant_id, crossed.resource_tenant_id, crossed.service_name, crossed.trace_id
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
    per_trace.app_tenant_id,
    per_trace.resource_tenant_id,
    per_trace.service_name,
    min(per_trace.operation) AS operation,
    min(paths.path) AS service_path,
    sum(per_trace.touches) AS touches,
    min(per_trace.first_time) AS first_time,
    max(per_trace.last_time) AS last_time,
    count(*) AS traces,
    array_slice(array_agg(per_trace.trace_id ORDER BY per_trace.first_time, per_trace.trace_id), 1, 10) AS trace_ids
FROM per_trace
LEFT JOIN paths ON paths.trace_id = per_trace.trace_id
GROUP BY per_trace.user_id, per_trace.role, per_trace.app_tenant_id, per_trace.resource_tenant_id, per_trace.service_name
ORDER BY touches DESC, user_id, resource_tenant_id
