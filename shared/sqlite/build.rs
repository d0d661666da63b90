//! Embeds the migrations anew when one is added.
fn main() {
    println!("cargo::rerun-if-changed=../../migrations/sqlite");
    println!("cargo::rerun-if-changed=sqlx.toml");
    println!("cargo::rerun-if-env-changed=PARLANCE_SQLITE_SCHEMA_URL");
}
