//! Embeds the migrations anew when one is added.
fn main() {
    println!("cargo::rerun-if-changed=../../migrations/postgres");
    println!("cargo::rerun-if-changed=sqlx.toml");
    println!("cargo::rerun-if-env-changed=PARLANCE_POSTGRES_SCHEMA_URL");
}
