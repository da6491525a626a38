-- name: pii-leaves-boundary
-- title: Personal data goes where it never went
-- finds: traces that touched data of a class (PII) and then called a destination outside the boundary that did not receive such data before
-- why: exfiltration through the application itself looks like one more outbound call; the class of what was read before tells it apart
-- attack: T1567, T1041
-- window: 24h
-- param: history text = "28 days" — how far back known receivers are looked for
-- param: classification text = "PII" — the class of data that is looked for
-- param: min_seen int = 3 — a destination is known when the service called it this often after touching such data
-- param: internal text = "(^|[.])(internal|local|localhost|svc|lan|corp|home[.]arpa)$|^[^.:]*$|^(10|127)[.]|^192[.]168[.]|^172[.](1[6-9]|2[0-9]|3[01])[.]|^169[.]254[.]|^::1$|^f[cd][0-9a-f]{2}:|^fe80:" — which hosts lie inside the boundary, as a regular expression
-- param: allowed text = "" — domains outside that may receive such data, separated by commas
-- benign: a new processor under contract, before it is in the allowed list
-- next: sum the bytes, list the data subjects of the traces, ask for the contract
WITH
touched AS (
    SELECT trace_id, min(start_time) AS time, count(*) AS touches, count(DISTINCT data_subject_id) AS subjects
    FROM spans
    WHERE data_classification = $classification
      AND start_time >= $from - CAST($history AS INTERVAL) AND start_time < $to
    GROUP BY trace_id
),
calls AS (
    SELECT trace_id, span_id, start_time, service_name, name, lower(peer_address) AS host,
        coalesce(attributes['http.request.body.size'], 0) AS body_bytes,
        CASE
            WHEN regexp_like(peer_address, '^[0-9.]+$') OR peer_address LIKE '%:%' THEN lower(peer_address)
            ELSE regexp_replace(lower(peer_address), '^.*?([^.]+[.](?:(?:co|com|net|org|gov|ac|edu)[.][a-z]{2}|[a-z0-9-]+))$', '\1')
        END AS domain
    FROM spans
    WHERE peer_address IS NOT NULL
      AND NOT regexp_like(lower(peer_address), $internal)
      AND start_time >= $from - CAST($history AS INTERVAL) AND start_time < $to
),
-- A call carries what its trace touched before it.
egress AS (
    SELECT calls.*, touched.touches, touched.subjects
    FROM calls
    JOIN touched ON touched.trace_id = calls.trace_id
    WHERE touched.time <= calls.start_time
),
seen AS (
    SELECT *,
        count(CASE WHEN start_time < $from THEN 1 END) OVER (PARTITION BY service_name, domain) AS times_before
    FROM egress
),
usual AS (
    SELECT service_name, array_to_string(array_sort(array_agg(DISTINCT domain)), ', ') AS domains
    FROM seen
    WHERE times_before >= $min_seen
    GROUP BY service_name
),
flagged AS (
    SELECT *
    FROM seen
    WHERE start_time >= $from
      AND times_before < $min_seen
      AND NOT array_has(string_to_array(replace($allowed, ' ', ''), ','), domain)
),
per_trace AS (
    SELECT service_name, domain, trace_id, min(span_id) AS span_id, min(host) AS host, min(name) AS operation,
        sum(body_bytes) AS body_bytes, max(touches) AS touches, max(subjects) AS subjects,
        min(start_time) AS first_time, max(start_time) AS last_time
    FROM flagged
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
    who.actor_user_id AS user_id,
    min(who.actor_role) AS role,
    per_trace.service_name,
    per_trace.domain,
    min(per_trace.host) AS host,
    min(per_trace.operation) AS operation,
    min(paths.path) AS service_path,
    sum(per_trace.touches) AS touches,
    sum(per_trace.subjects) AS subjects,
    sum(per_trace.body_bytes) AS body_bytes,
    min(usual.domains) AS usual_domains,
    min(per_trace.first_time) AS first_time,
    max(per_trace.last_time) AS last_time,
    count(*) AS traces,
    array_slice(array_agg(per_trace.trace_id ORDER BY per_trace.first_time, per_trace.trace_id), 1, 10) AS trace_ids
FROM per_trace
LEFT JOIN who ON who.trace_id = per_trace.trace_id AND who.span_id = per_trace.span_id
LEFT JOIN paths ON paths.trace_id = per_trace.trace_id
LEFT JOIN usual ON usual.service_name = per_trace.service_name
GROUP BY who.actor_user_id, per_trace.service_name, per_trace.domain
ORDER BY body_bytes DESC, first_time, user_id
