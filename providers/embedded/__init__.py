"""The two real models that run in this process: `llama` chats, `minilm` embeds. Both block; `providers.local` has threads."""
