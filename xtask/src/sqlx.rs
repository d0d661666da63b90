//! `cargo xtask sqlx`: writes `.sqlx`, the descriptions of all queries that let a clone compile without a database.
//!
//! Databases are made from the migrations by small programs that have no checked queries themselves; with those databases
//! the macros of `parlance-sqlite` and `parlance-postgres` check each query and write its description.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Outcome,
    lint::Verdict,
    services,
    workspace::{self, Workspace},
};

/// File names and what is in them.
type Prepared = BTreeMap<String, Vec<u8>>;

/// What sqlx calls Postgres in a description.
const POSTGRES: &[u8] = b"\"db_name\": \"PostgreSQL\"";

/// The descriptions as they should be.
struct Described {
    queries: Prepared,
    /// Why those of Postgres are missing.
    without_postgres: Option<String>,
}

/// Writes `.sqlx` anew.
pub(crate) fn prepare(workspace: &Workspace) -> Outcome {
    let folder = workspace.root.join(".sqlx");
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(failed)?;
    let described = describe(workspace)?;
    let old = described.comparable(read(&folder)?);
    for name in old.keys().filter(|name| !described.queries.contains_key(*name)) {
        fs::remove_file(folder.join(name)).map_err(failed)?;
    }
    for (name, text) in described.queries.iter().filter(|(name, text)| old.get(*name) != Some(text)) {
        fs::write(folder.join(name), text).map_err(failed)?;
    }
    let difference = difference(&old, &described.queries).unwrap_or_else(|| "no change".to_owned());
    println!("{} queries in .sqlx ({difference})", described.queries.len());
    match described.without_postgres {
        None => Ok(()),
        Some(why) => Err(format!("the queries of Postgres are left as they were: {why}")),
    }
}

/// Compares `.sqlx` with what it should be.
pub(crate) fn check(workspace: &Workspace) -> Verdict {
    let compared = describe(workspace).and_then(|described| {
        let old = described.comparable(read(&workspace.root.join(".sqlx"))?);
        match difference(&old, &described.queries) {
            None => Ok(described.without_postgres),
            Some(difference) => Err(format!("{difference}; run `cargo xtask sqlx`")),
        }
    });
    match compared {
        Ok(None) => Verdict::Passed,
        Ok(Some(why)) => Verdict::Skipped(format!("SQLite's are right, those of Postgres were not checked: {why}")),
        Err(why) => Verdict::Failed(why),
    }
}

impl Described {
    /// Of what is in `.sqlx`, that which can be compared.
    fn comparable(&self, mut old: Prepared) -> Prepared {
        if self.without_postgres.is_some() {
            old.retain(|_, text| !is_of_postgres(text));
        }
        old
    }
}

fn is_of_postgres(description: &[u8]) -> bool {
    description.windows(POSTGRES.len()).any(|window| window == POSTGRES)
}

fn difference(old: &Prepared, fresh: &Prepared) -> Option<String> {
    let missing = fresh.keys().filter(|name| !old.contains_key(*name)).count();
    let stale = old.keys().filter(|name| !fresh.contains_key(*name)).count();
    let changed = fresh.iter().filter(|(name, text)| old.get(*name).is_some_and(|old| old != *text)).count();
    (missing + stale + changed > 0).then(|| format!("{missing} new, {stale} gone, {changed} changed"))
}

/// The descriptions of all queries as they are now.
fn describe(workspace: &Workspace) -> Result<Described, String> {
    let services = services::ensure(workspace, &[services::Name::Postgres])?;
    let scratch = Scratch::new(workspace)?;
    let database = scratch.0.join("schema.db");
    let mut schema = workspace.cargo(&["run", "--quiet", "--package", "parlance-sqlite-schema", "--"]);
    workspace::run(schema.arg(workspace.root.join("migrations/sqlite")).arg(&database))?;
    let mut check = workspace.cargo(&["check", "--quiet", "--all-targets", "--package", "parlance-sqlite"]);
    // The names are others each time, and the crates' build scripts watch the variables: the macros run again.
    check
        .env("PARLANCE_SQLITE_SCHEMA_URL", format!("sqlite://{}", percent_encoded(&database)))
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", &scratch.0);
    let (postgres, without_postgres) = match &services.postgres {
        Ok(part) => (Some(PostgresSchema::make(workspace, &part.address)?), None),
        Err(why) => (None, Some(why.to_string())),
    };
    if let Some(schema) = &postgres {
        check.args(["--package", "parlance-postgres"]).env("PARLANCE_POSTGRES_SCHEMA_URL", &schema.url);
    }
    workspace::run(&mut check)?;
    let queries = read(&scratch.0)?;
    if queries.is_empty() {
        return Err("no query was described".to_owned());
    }
    Ok(Described { queries, without_postgres })
}

/// A database with the schema, gone afterwards.
struct PostgresSchema<'a> {
    workspace: &'a Workspace,
    url: String,
}

impl<'a> PostgresSchema<'a> {
    fn make(workspace: &'a Workspace, server: &str) -> Result<Self, String> {
        let url = with_database(server, &format!("parlance_schema_{:016x}", services::random()));
        // Made first, so that a database of which only a half exists is dropped as well.
        let schema = Self { workspace, url };
        let mut command = schema.program(&["make"]);
        workspace::run_discreetly(command.arg(&schema.url).arg(workspace.root.join("migrations/postgres")))?;
        Ok(schema)
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = self.workspace.cargo(&["run", "--quiet", "--package", "parlance-postgres-schema", "--"]);
        command.args(arguments);
        command
    }
}

impl Drop for PostgresSchema<'_> {
    fn drop(&mut self) {
        if let Err(why) = workspace::run_discreetly(self.program(&["drop"]).arg(&self.url)) {
            eprintln!("a database is left: {why}");
        }
    }
}

/// The URL of another database of the same server.
fn with_database(url: &str, name: &str) -> String {
    let (address, options) = url.split_once('?').map_or((url, None), |(address, options)| (address, Some(options)));
    let authority = address.find("://").map_or(0, |at| at + 3);
    let end = address[authority..].find('/').map_or(address.len(), |at| authority + at);
    let options = options.map(|options| format!("?{options}")).unwrap_or_default();
    format!("{}/{name}{options}", &address[..end])
}

fn read(folder: &Path) -> Result<Prepared, String> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Prepared::new()) };
    entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?.to_owned();
            (name.starts_with("query-") && name.ends_with(".json")).then_some((name, path))
        })
        .map(|(name, path)| match fs::read(&path) {
            Ok(text) => Ok((name, text)),
            Err(error) => Err(format!("{}: {error}", path.display())),
        })
        .collect()
}

fn percent_encoded(path: &Path) -> String {
    let text = path.to_string_lossy();
    text.chars()
        .map(|c| match c {
            '%' | '?' | '#' | ' ' => format!("%{:02X}", u32::from(c)),
            c => c.to_string(),
        })
        .collect()
}

/// A folder that is gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(workspace: &Workspace) -> Result<Self, String> {
        let folder = workspace.target.join(format!("sqlx-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_difference_is_named() {
        let prepared = |files: &[(&str, &str)]| -> Prepared {
            files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
        };
        let old = prepared(&[("a", "1"), ("b", "2"), ("c", "3")]);
        assert_eq!(difference(&old, &old), None);
        let fresh = prepared(&[("b", "2"), ("c", "4"), ("d", "5")]);
        assert_eq!(difference(&old, &fresh).as_deref(), Some("1 new, 1 gone, 1 changed"));
    }

    #[test]
    fn without_postgres_its_descriptions_are_not_compared() {
        let file = |name: &str| format!("{{\n  \"db_name\": \"{name}\",\n  \"query\": \"SELECT 1\"}}").into_bytes();
        let old = Prepared::from([("a".to_owned(), file("SQLite")), ("b".to_owned(), file("PostgreSQL"))]);
        let described =
            |why: Option<&str>| Described { queries: Prepared::new(), without_postgres: why.map(str::to_owned) };
        assert_eq!(described(None).comparable(old.clone()).len(), 2);
        let compared = described(Some("missing")).comparable(old);
        assert_eq!(compared.keys().collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn another_database_of_the_same_server() {
        let url = "postgres://postgres@127.0.0.1:20001/postgres";
        assert_eq!(with_database(url, "x"), "postgres://postgres@127.0.0.1:20001/x");
        assert_eq!(with_database("postgres://h", "x"), "postgres://h/x");
        assert_eq!(with_database("postgres://h/a?host=/s/t", "x"), "postgres://h/x?host=/s/t");
    }

    #[test]
    fn paths_make_urls() {
        assert_eq!(percent_encoded(Path::new("/a b/100%?")), "/a%20b/100%25%3F");
    }
}
