# The habits. Each is a command that also works without just.

# Everything in one process, on http://127.0.0.1:8080.
run:
    cargo run

# Every test, also the short crash test. Starts the services and leaves them running.
test *arguments:
    cargo xtask test {{arguments}}

# The tests of what is deployed and how: Terraform, images, scripts, workflow, documents.
infra *arguments:
    cargo xtask infra {{arguments}}

# Format, clippy, dependencies, prepared queries.
lint:
    cargo xtask lint

# Speeds, beside the same load straight to the mock LLM: first-token, throughput, subscribers, start, recovery; cloud: three
# processes on Pub/Sub's emulator and Postgres.
bench *names:
    cargo xtask bench {{names}}

# Kill the server again and again during conversations, and check what everyone saw.
crash *arguments:
    cargo xtask bench crash {{arguments}}

# What tests and cloud benchmarks run against, on private ports: up, status, down, kill.
services *command="status":
    cargo xtask services {{command}}

# A private Postgres; prints its URL.
db:
    cargo xtask services up postgres

# Google's Pub/Sub emulator; prints its address.
emulator:
    cargo xtask services up emulator

# The schema of the data folder: init, validate, status, stats.
migrate command="status":
    cargo run -- migrate {{command}}

# After a change to a migration or a query: write .sqlx anew.
sqlx:
    cargo xtask sqlx
