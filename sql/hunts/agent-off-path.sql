-- name: agent-off-path
-- title: An AI agent calls a tool or MCP method that it never used
-- finds: first-seen (agent, tool or MCP method) of agents that have a history
-- why: an injected prompt makes an agent use tools outside its task, with its own valid credentials
-- attack: AML.T0053, AML.T0051
-- window: 24h
-- param: history text = "28 days" — how far back the agent's tools are learned
-- param: min_samples int = 20 — an agent with fewer calls in the history is too new to judge
-- param: max_users int = 5 — a new tool used for more users than this is a release
-- benign: a new tool, tried by few users first
-- next: read the prompt of the trace; see what the tool touched and where the trace went afterwards
WITH
-- Spans of the GenAI and MCP semantic conventions. The agent stands on the spans above a call, at least once in the trace.
calls AS (
    SELECT trace_id, span_id, start_time, service_name,
        attributes['gen_ai.agent.name'] AS agent,
        attributes['gen_ai.tool.name'] AS tool,
        attributes['mcp.method.name'] AS method
    FROM spans
    WHERE start_time >= $from - CAST($history AS INTERVAL) AND start_time < $to
      AND (attributes['gen_ai.agent.name'] IS NOT NULL OR attributes['gen_ai.tool.name'] IS NOT NULL OR attributes['mcp.method.name'] IS NOT NULL)
),
-- The agent stands on some span of the trace; a call names a tool or a method.
named AS (
    SELECT trace_id, span_id, start_time, coalesce(tool, method) AS step, max(agent) OVER (PARTITION BY trace_id) AS agent
    FROM calls
),
steps AS (
    SELECT *,
        min(start_time) OVER (PARTITION BY agent, step) AS first_seen,
        count(CASE WHEN start_time < $from THEN 1 END) OVER (PARTITION BY agent) AS usual_times
    FROM named
    WHERE agent IS NOT NULL AND step IS NOT NULL
),
usual AS (
    SELECT agent, array_to_string(array_sort(array_agg(DISTINCT step)), ', ') AS steps
    FROM steps
    WHERE start_time < $from
    GROUP BY agent
),
fresh AS (
    SELECT * FROM steps WHERE first_seen >= $from AND usual_times >= $min_samples
),
who AS (
    SELECT trace_id, span_id, actor_user_id, actor_role
    FROM actors
    WHERE trace_id IN (SELECT trace_id FROM fresh)
),
per_trace AS (
    SELECT fresh.agent, fresh.step, fresh.trace_id, min(fresh.usual_times) AS usual_times,
        min(who.actor_user_id) AS user_id, min(who.actor_role) AS role,
        min(fresh.start_time) AS first_time, max(fresh.start_time) AS last_time
    FROM fresh
    LEFT JOIN who ON who.trace_id = fresh.trace_id AND who.span_id = fresh.span_id
    GROUP BY fresh.agent, fresh.step, fresh.trace_id
),
paths AS (
    SELECT trace_id, trace_path(service_name, span_id, parent_span_id, start_time) AS path,
        count(*) FILTER (WHERE data_classification = 'PII') AS pii_touches
    FROM spans
    WHERE trace_id IN (SELECT trace_id FROM fresh)
      AND start_time >= $from - INTERVAL '1 hour' AND start_time < $to + INTERVAL '1 hour'
    GROUP BY trace_id
)
SELECT
    per_trace.agent,
    per_trace.step,
    array_slice(array_sort(array_agg(DISTINCT per_trace.user_id) FILTER (WHERE per_trace.user_id IS NOT NULL)), 1, 10) AS user_ids,
    array_to_string(array_sort(array_agg(DISTINCT per_trace.role) FILTER (WHERE per_trace.role IS NOT NULL)), ', ') AS roles,
    min(paths.path) AS service_path,
    min(usual.steps) AS usual_steps,
    min(per_trace.usual_times) AS usual_times,
    coalesce(sum(paths.pii_touches), 0) AS pii_touches,
    min(per_trace.first_time) AS first_time,
    max(per_trace.last_time) AS last_time,
    count(*) AS traces,
    array_slice(array_agg(per_trace.trace_id ORDER BY per_trace.first_time, per_trace.trace_id), 1, 10) AS trace_ids
FROM per_trace
LEFT JOIN usual ON usual.agent = per_trace.agent
LEFT JOIN paths ON paths.trace_id = per_trace.trace_id
GROUP BY per_trace.agent, per_trace.step
HAVING count(DISTINCT per_trace.user_id) <= $max_users
ORDER BY first_time, agent, step
