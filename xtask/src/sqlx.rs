//! `cargo xtask sqlx`: writes `.sqlx`, the descriptions of all queries that let a clone compile without a database.
//!
//! A database is made from the migrations by a small program that has no checked queries itself; with that database the
//! macros of `parlance-sqlite` check each query and write its description.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    Outcome,
    workspace::{self, Workspace},
};

/// File names and what is in them.
type Prepared = BTreeMap<String, Vec<u8>>;

/// Writes `.sqlx` anew.
pub(crate) fn prepare(workspace: &Workspace) -> Outcome {
    let fresh = describe(workspace)?;
    let folder = workspace.root.join(".sqlx");
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(failed)?;
    let old = read(&folder)?;
    for name in old.keys().filter(|name| !fresh.contains_key(*name)) {
        fs::remove_file(folder.join(name)).map_err(failed)?;
    }
    for (name, text) in fresh.iter().filter(|(name, text)| old.get(*name) != Some(text)) {
        fs::write(folder.join(name), text).map_err(failed)?;
    }
    println!(
        "{} queries in .sqlx ({})",
        fresh.len(),
        difference(&old, &fresh).unwrap_or_else(|| "no change".to_owned())
    );
    Ok(())
}

/// Compares `.sqlx` with what it should be.
pub(crate) fn check(workspace: &Workspace) -> Outcome {
    let fresh = describe(workspace)?;
    match difference(&read(&workspace.root.join(".sqlx"))?, &fresh) {
        None => Ok(()),
        Some(difference) => Err(format!("{difference}; run `cargo xtask sqlx`")),
    }
}

fn difference(old: &Prepared, fresh: &Prepared) -> Option<String> {
    let missing = fresh.keys().filter(|name| !old.contains_key(*name)).count();
    let stale = old.keys().filter(|name| !fresh.contains_key(*name)).count();
    let changed = fresh.iter().filter(|(name, text)| old.get(*name).is_some_and(|old| old != *text)).count();
    (missing + stale + changed > 0).then(|| format!("{missing} new, {stale} gone, {changed} changed"))
}

/// The descriptions of all queries as they are now.
fn describe(workspace: &Workspace) -> Result<Prepared, String> {
    let scratch = Scratch::new(workspace)?;
    let database = scratch.0.join("schema.db");
    let mut schema = workspace.cargo(&["run", "--quiet", "--package", "parlance-sqlite-schema", "--"]);
    workspace::run(schema.arg(workspace.root.join("migrations/sqlite")).arg(&database))?;
    // The path is another each time, and the crate's build script watches the variable: the macros run again.
    let mut check = workspace.cargo(&["check", "--quiet", "--package", "parlance-sqlite", "--all-targets"]);
    check
        .env("PARLANCE_SQLITE_SCHEMA_URL", format!("sqlite://{}", percent_encoded(&database)))
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", &scratch.0);
    workspace::run(&mut check)?;
    let described = read(&scratch.0)?;
    if described.is_empty() {
        return Err("no query was described".to_owned());
    }
    Ok(described)
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
    fn paths_make_urls() {
        assert_eq!(percent_encoded(Path::new("/a b/100%?")), "/a%20b/100%25%3F");
    }
}
