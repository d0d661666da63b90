//! What the tests of the benchmarks share.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "tests fail by panicking and say what was not run")]

use std::{path::Path, process::Command};

use parlance_bench::{Fallible, cloud::Parts, process::Programs};

/// The programs that `cargo xtask test` has built; without it they are built here, beside this test.
pub fn programs(packages: &[&str]) -> Fallible<Programs> {
    if std::env::var_os("PARLANCE_BIN").is_none() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet"]).args(packages.iter().flat_map(|package| ["--package", package]));
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        if !build.status()?.success() {
            return Err("the programs do not build".into());
        }
    }
    let test = std::env::current_exe()?;
    Programs::find(test.parent().and_then(Path::parent).ok_or("no folder")?)
}

/// Where the real parts are; `None`, said aloud, when they are not there. With `CI=true` they must be.
pub async fn parts() -> Option<Parts> {
    let missing = Parts::missing();
    if missing.is_empty() {
        return Some(Parts::find().await.unwrap());
    }
    let sentence = format!("not run: needs {} (cargo xtask services up)", missing.join(" and "));
    let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!is_ci, "{sentence}");
    println!("{sentence}");
    None
}
