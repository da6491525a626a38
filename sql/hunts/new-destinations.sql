-- name: new-destinations
-- title: An outbound call to a domain that this service never called before
-- finds: first-seen (service, registrable domain) outside the company's own network
-- why: shadow integrations, implants and exfiltration all begin with a first call
-- attack: T1071.001, T1567
-- window: 24h
-- param: history text = "28 days" — how far back known destinations are looked for
-- param: min_age text = "7 days" — a service first seen later than this before the window is too new to judge
-- param: internal text = "(^|[.])(internal|local|localhost|svc|lan|corp|home[.]arpa)$|^[^.:]*$|^(10|127)[.]|^192[.]168[.]|^172[.](1[6-9]|2[0-9]|3[01])[.]|^169[.]254[.]|^::1$|^f[cd][0-9a-f]{2}:|^fe80:" — which hosts are the company's own, as a regular expression
-- param: allowed text = "" — domains that are known to be fine, separated by commas
-- benign: a release with a new supplier; a supplier that moved to a new domain
-- next: find the release and its owner; run supply-chain and pii-leaves-boundary for the same window
WITH
calls AS (
    SELECT trace_id, span_id, start_time, service_name, name, lower(peer_address) AS host,
        CASE
            WHEN regexp_like(peer_address, '^[0-9.]+$') OR peer_address LIKE '%:%' THEN lower(peer_address)
            -- The last two labels, three under suffixes such as co.uk.
            ELSE regexp_replace(lower(peer_address), '^.*?([^.]+[.](?:(?:co|com|net|org|gov|ac|edu)[.][a-z]{2}|[a-z0-9-]+))$', '\1')
        END AS domain
    FROM spans
    WHERE peer_address IS NOT NULL
      AND NOT regexp_like(lower(peer_address), $internal)
      AND start_time >= $from - CAST($history AS INTERVAL) AND start_time < $to
),
services AS (
    SELECT service_name, min(start_time) AS since
    FROM spans
    WHERE start_time >= $from - CAST($history AS INTERVAL) AND start_time < $from
    GROUP BY service_name
),
usual AS (
    SELECT service_name, array_to_string(array_sort(array_agg(DISTINCT domain)), ', ') AS domains
    FROM calls
    WHERE start_time < $from
    GROUP BY service_name
),
seen AS (
    SELECT *, min(start_time) OVER (PARTITION BY service_name, domain) AS first_seen FROM calls
),
fresh AS (
    SELECT seen.*
    FROM seen
    JOIN services ON services.service_name = seen.service_name
    WHERE seen.first_seen >= $from
      AND services.since <= $from - CAST($min_age AS INTERVAL)
      AND NOT array_has(string_to_array(replace($allowed, ' ', ''), ','), seen.domain)
),
per_trace AS (
    SELECT service_name, domain, trace_id, count(*) AS calls, min(span_id) AS span_id,
        min(host) AS host, min(name) AS operation, min(start_time) AS first_time, max(start_time) AS last_time
    FROM fresh
    GROUP BY service_name, domain, trace_id
),
who AS (
    SELECT trace_id, span_id, actor_user_id, actor_role
    FROM actors
    WHERE trace_id IN (SELECT trace_id FROM per_trace)
),
paths AS (
    SELECT trace_id, trace_path(service_name, span_id, parent_span_id, start_time) AS path
    FROM spans
    WHERE trace_id IN (SELECT trace_id FROM per_trace)
      AND start_time >= $from - INTERVAL '1 hour' AND start_time < $to + INTERVAL '1 hour'
    GROUP BY trace_id
)
SELECT
    per_trace.service_name,
    per_trace.domain,
    array_to_string(array_slice(array_sort(array_agg(DISTINCT per_trace.host)), 1, 5), ', ') AS hosts,
    min(per_trace.operation) AS operation,
    sum(per_trace.calls) AS calls,
    count(DISTINCT who.actor_user_id) AS users,
    array_slice(array_sort(array_agg(DISTINCT who.actor_user_id) FILTER (WHERE who.actor_user_id IS NOT NULL)), 1, 10) AS user_ids,
    array_to_string(array_sort(array_agg(DISTINCT who.actor_role) FILTER (WHERE who.actor_role IS NOT NULL)), ', ') AS roles,
    min(paths.path) AS service_path,
    min(usual.domains) AS usual_domains,
    min(per_trace.first_time) AS first_time,
    max(per_trace.last_time) AS last_time,
    count(*) AS traces,
    array_slice(array_agg(per_trace.trace_id ORDER BY per_trace.first_time, per_trace.trace_id), 1, 10) AS trace_ids
FROM per_trace
LEFT JOIN who ON who.trace_id = per_trace.trace_id AND who.span_id = per_trace.span_id
LEFT JOIN paths ON paths.trace_id = per_trace.trace_id
LEFT JOIN usual ON usual.service_name = per_trace.service_name
GROUP BY per_trace.service_name, per_trace.domain
ORDER BY first_time, service_name, domain
