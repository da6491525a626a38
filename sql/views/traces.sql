-- One row per trace. The root is the earliest span without a parent, else the earliest span.
SELECT
    trace_id,
    min(start_time) AS start_time,
    max(end_time) AS end_time,
    CAST(max(end_time) AS BIGINT) - CAST(min(start_time) AS BIGINT) AS duration_ns,
    first_value(service_name ORDER BY parent_span_id IS NOT NULL, start_time, span_id) AS root_service,
    first_value(name ORDER BY parent_span_id IS NOT NULL, start_time, span_id) AS root_name,
    array_sort(array_agg(DISTINCT service_name)) AS services,
    count(*) AS span_count,
    count(*) FILTER (WHERE status_code = 'ERROR') AS error_count,
    array_sort(array_agg(DISTINCT user_id) FILTER (WHERE user_id IS NOT NULL)) AS users
FROM spans
GROUP BY trace_id
