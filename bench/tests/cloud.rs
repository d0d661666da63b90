//! The short form of the fault suite, and that the parts it plays with can be played with. The long form:
//! `cargo xtask bench cloud-crash`.

mod support;

use std::time::Duration;

use parlance_bench::{
    cloud::{Ending, Postgres},
    crash::cloud::{CloudCrashTest, run},
};
use support::{parts, programs};

const PROGRAMS: [&str; 5] = ["parlance", "parlance-mock-llm", "ingest-api", "llm-worker", "persist-worker"];

#[tokio::test]
async fn a_postgres_of_its_own_comes_back_where_it_was() {
    let Some(parts) = parts().await else { return };
    let postgres = Postgres::start(&parts, "bench-test-postgres").await.unwrap();
    if !postgres.is_own() {
        println!("not run: needs PARLANCE_XTASK (cargo xtask test)");
        return;
    }
    postgres.run("CREATE TABLE kept (n int)".to_owned()).await.unwrap();
    let (address, log) = (postgres.address(), postgres.wal_bytes().await.unwrap());
    for ending in [Ending::Stop, Ending::Crash] {
        postgres.end(ending).await.unwrap();
        assert!(postgres.wal_bytes().await.is_err(), "it still answers");
        postgres.start_again().await.unwrap();
        assert_eq!(postgres.address(), address);
        postgres.run("INSERT INTO kept VALUES (1)".to_owned()).await.unwrap();
    }
    assert!(postgres.wal_bytes().await.unwrap() > log);
    assert!(postgres.cpu_seconds().unwrap() > 0.0);
    postgres.remove().await.unwrap();
}

#[tokio::test]
async fn promises_are_kept_when_the_services_their_database_and_their_bus_fail() {
    if parts().await.is_none() {
        return;
    }
    let seed = std::env::var("PARLANCE_CRASH_SEED").map_or(20_261_121, |seed| seed.parse().unwrap());
    let test = CloudCrashTest {
        seed,
        conversations: 20,
        turns: 3,
        within: Duration::from_secs(15),
        pause: Duration::from_millis(1_200),
        patience: Duration::from_secs(180),
        instance: "bench-test",
    };
    let folder = tempfile::tempdir().unwrap();
    let ran = run(test, &programs(&PROGRAMS).unwrap(), folder.path()).await;
    let keep = || folder.keep();
    match ran {
        Ok((report, true)) => println!("{report}"),
        Ok((report, false)) => panic!("a promise was broken; logs are kept in {}\n{report}", keep().display()),
        Err(error) => panic!("{error}; logs are kept in {}", keep().display()),
    }
}
