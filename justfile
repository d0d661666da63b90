# The habits. Each is a command that also works without just.

# Everything in one process, on http://127.0.0.1:8080.
run:
    cargo run

# Every test, also the short crash test.
test *arguments:
    cargo xtask test {{arguments}}

# Format, clippy, dependencies, prepared queries.
lint:
    cargo xtask lint

# Speeds, beside the same load straight to the mock LLM: first-token, throughput, subscribers, start, recovery.
bench *names:
    cargo xtask bench {{names}}

# Kill the server again and again during conversations, and check what everyone saw.
crash *arguments:
    cargo xtask bench crash {{arguments}}

# The schema of the data folder: init, validate, status, stats.
migrate command="status":
    cargo run -- migrate {{command}}

# After a change to a migration or a query: write .sqlx anew.
sqlx:
    cargo xtask sqlx
