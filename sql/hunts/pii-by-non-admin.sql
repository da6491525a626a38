-- name: pii-by-non-admin
-- title: Personal data of others, touched by somebody whose role does not allow it
-- finds: users who touched data of a class (PII) that is not their own, and whose roles the policy does not allow there
-- why: valid credentials leave no error; who touched whose data is only visible over the whole trace
-- attack: T1530, T1213
-- window: 24h
-- param: classification text = "PII" — the class of data that is looked for
-- param: allowed text = "admin:*:*, support:PII:customers, service:PII:invoices" — who may touch what: role:class:service, separated by commas; * is any
-- param: unknown_share double = 0.2 — a service is listed without a user when more than this share of its touches has no known actor
-- param: unknown_min int = 20 — and at least this many touches
-- benign: a role missing in the policy; a service account without a role; a service that loses the parents of its spans
-- next: open a trace, compare data_subject_id with the user's cases or orders of that day
WITH
-- The policy as rows.
allowed AS (
    SELECT
        trim(split_part(entry, ':', 1)) AS role,
        trim(split_part(entry, ':', 2)) AS classification,
        trim(split_part(entry, ':', 3)) AS service
    FROM (SELECT unnest(string_to_array($allowed, ',')) AS entry)
),
touched AS (
    SELECT trace_id, span_id, start_time, service_name, data_classification, data_subject_id
    FROM spans
    WHERE data_classification = $classification AND start_time >= $from AND start_time < $to
),
-- Most spans that touch data carry no user: the actor comes from the spans above them.
who AS (
    SELECT trace_id, span_id, actor_user_id, actor_roles
    FROM actors
    WHERE trace_id IN (SELECT trace_id FROM touched)
),
acted AS (
    SELECT touched.*, who.actor_user_id, who.actor_roles
    FROM touched
    LEFT JOIN who ON who.trace_id = touched.trace_id AND who.span_id = touched.span_id
),
-- How much of what a service touches has no known actor.
counted AS (
    SELECT *,
        count(*) OVER (PARTITION BY service_name) AS touches,
        count(CASE WHEN actor_user_id IS NULL THEN 1 END) OVER (PARTITION BY service_name) AS unknown
    FROM acted
),
-- Not one's own data, and no role that the policy allows. A missing role is not admin.
-- Touches without an actor count only where they are many: there nobody can tell whose data it is.
flagged AS (
    SELECT trace_id, service_name, actor_user_id AS user_id, array_to_string(actor_roles, ', ') AS roles, data_subject_id, start_time
    FROM counted
    WHERE CASE
            WHEN actor_user_id IS NULL THEN unknown >= $unknown_min AND unknown > $unknown_share * touches
            ELSE coalesce(data_subject_id <> actor_user_id, true)
          END
      AND NOT EXISTS (
          SELECT 1 FROM allowed
          WHERE array_has(counted.actor_roles, allowed.role)
            AND allowed.classification IN ('*', counted.data_classification)
            AND allowed.service IN ('*', counted.service_name)
      )
),
per_trace AS (
    SELECT user_id, roles, service_name, trace_id, count(*) AS touches, min(start_time) AS first_time, max(start_time) AS last_time
    FROM flagged
    GROUP BY user_id, roles, service_name, trace_id
),
subjects AS (
    SELECT user_id, service_name, count(DISTINCT data_subject_id) AS subjects
    FROM flagged
    GROUP BY user_id, service_name
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
    per_trace.roles,
    per_trace.service_name,
    min(paths.path) AS service_path,
    sum(per_trace.touches) AS touches,
    max(subjects.subjects) AS subjects,
    min(per_trace.first_time) AS first_time,
    max(per_trace.last_time) AS last_time,
    count(*) AS traces,
    array_slice(array_agg(per_trace.trace_id ORDER BY per_trace.first_time, per_trace.trace_id), 1, 10) AS trace_ids
FROM per_trace
JOIN subjects ON (subjects.user_id IS NOT DISTINCT FROM per_trace.user_id) AND subjects.service_name = per_trace.service_name
LEFT JOIN paths ON paths.trace_id = per_trace.trace_id
GROUP BY per_trace.user_id, per_trace.roles, per_trace.service_name
ORDER BY subjects DESC, touches DESC, user_id
