//! Reads `Cargo.lock`: the checksums of what was downloaded.

use std::collections::BTreeMap;

/// SHA-256 by name and version.
pub(super) type Checksums = BTreeMap<(String, String), String>;

pub(super) fn checksums(lock: &str) -> Checksums {
    lock.split("[[package]]").filter_map(one).collect()
}

fn one(package: &str) -> Option<((String, String), String)> {
    let field = |name: &str| {
        let line = package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""))?;
        line.strip_suffix('"').map(str::to_owned)
    };
    Some(((field("name")?, field("version")?), field("checksum")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_download_has_a_checksum() {
        let lock = "version = 4\n\n[[package]]\nname = \"serde\"\nversion = \"1.0.2\"\nsource = \"registry\"\nchecksum = \"abc\"\n\
                    \n[[package]]\nname = \"ours\"\nversion = \"0.1.0\"\n";
        let found = checksums(lock);
        assert_eq!(found.len(), 1);
        assert_eq!(found[&("serde".to_owned(), "1.0.2".to_owned())], "abc");
    }
}
