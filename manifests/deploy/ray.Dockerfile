# Made by scripts/render from descriptor.json.
# vLLM's requirements do not name Ray: every node has the same release of it here.
FROM vllm/vllm-openai:v0.32.0
RUN python3 -m pip install --no-cache-dir "ray[default]==2.60.0"
