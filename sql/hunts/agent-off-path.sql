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
agents AS (
    SELECT trace_id, min(agent) AS agent FROM calls WHERE agent IS NOT NULL GROUP BY trace_id
),
steps AS (
    SELECT calls.trace_id, calls.span_id, calls.start_time, agents.agent,
        coalesce(calls.tool, calls.method) AS step
    FROM calls
    JOIN agents ON agents.trace_id = calls.trace_id
    WHERE calls.tool IS NOT NULL OR calls.method IS NOT NULL
),
settled AS (
    SELECT agent, count(*) AS times, array_to_string(array_sort(array_agg(DISTINCT step)), ', ') AS steps
    FROM steps
    WHERE start_time < $from
    GROUP BY agent
    HAVING count(*) >= $min_samples
),
fresh AS (
    SELECT steps.*
    FROM steps
    WHERE start_time >= $from
      AND NOT EXISTS (
          SELECT 1 FROM steps AS past
          WHERE past.start_time < $from AND past.agent = steps.agent AND past.step = steps.step
      )
),
who AS (
    SELECT trace_id, span_id, actor_user_id, actor_role
    FROM actors
    WHERE trace_id IN (SELECT trace_id FROM fresh)
),
touched AS (
    SELECT trace_id, count(*) AS pii_touches
    FROM spans
    WHERE data_classification = 'PII' AND start_time >= $from AND start_time < $to
      AND trace_id IN (SELECT trace_id FROM fresh)
    GROUP BY trace_id
),
per_trace AS (
    SELECT fresh.agent, fresh.step, fresh.trace_id, min(who.actor_user_id) AS user_id, min(who.actor_role) AS role,
        coalesce(max(touched.pii_touches), 0) AS pii_touches, min(fresh.start_time) AS first_time, max(fresh.start_time) AS last_time
    FROM fresh
    LEFT JOIN who ON who.trace_id = fresh.trace_id AND who.span_id = fresh.span_id
    LEFT JOIN touched ON touched.trace_id = fresh.trace_id
    GROUP BY fresh.agent, fresh.step, fresh.trace_id
),
paths AS (
    SELECT trace_id, trace_path(service_name, span_id, parent_span_id, start_time) AS path
    FROM spans
    WHERE trace_id IN (SELECT trace_id FROM per_trace)
      AND start_time >= $from - INTERVAL '1 hour' AND start_time < $to + INTERVAL '1 hour'
    GROUP BY trace_id
)
SELECT
    per_trace.agent,
    per_trace.step,
    array_slice(array_sort(array_agg(DISTINCT per_trace.user_id) FILTER (WHERE per_trace.user_id IS NOT NULL)), 1, 10) AS user_ids,
    array_to_string(array_sort(array_agg(DISTINCT per_trace.role) FILTER (WHERE per_trace.role IS NOT NULL)), ', ') AS roles,
    min(paths.path) AS service_path,
    min(settled.steps) AS usual_steps,
    min(settled.times) AS usual_times,
    sum(per_trace.pii_touches) AS pii_touches,
    min(per_trace.first_time) AS first_time,
    max(per_trace.last_time) AS last_time,
    count(*) AS traces,
    array_slice(array_agg(per_trace.trace_id ORDER BY per_trace.first_time, per_trace.trace_id), 1, 10) AS trace_ids
FROM per_trace
JOIN settled ON settled.agent = per_trace.agent
LEFT JOIN paths ON paths.trace_id = per_trace.trace_id
GROUP BY per_trace.agent, per_trace.step
HAVING count(DISTINCT per_trace.user_id) <= $max_users
ORDER BY first_time, agent, step
