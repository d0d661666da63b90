//! The short form of the crash test. The long one: `cargo xtask bench crash`.

mod support;

use std::time::Duration;

use parlance_bench::crash::{CrashTest, run};
use support::programs;

#[tokio::test]
async fn invariants_1_to_5_hold_when_the_server_is_killed() {
    let seed = std::env::var("PARLANCE_CRASH_SEED").map_or(20_261_121, |seed| seed.parse().unwrap());
    let test = CrashTest { seed, conversations: 24, turns: 4, kills: 10, patience: Duration::from_secs(60) };
    let folder = tempfile::tempdir().unwrap();
    let (report, is_kept) =
        run(test, &programs(&["parlance", "parlance-mock-llm"]).unwrap(), folder.path()).await.unwrap();
    println!("{report}");
    if !is_kept {
        let folder = folder.keep();
        panic!("a promise was broken; the data folder and the server's log are kept in {}", folder.display());
    }
}
