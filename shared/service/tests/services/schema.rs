//! A database that is there and can't be used: the sentence says what to run.

use std::net::SocketAddr;

use parlance_mock_llm::Script;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::support::{Process, Service, World};

const SERVICES: [&str; 3] = ["ingest-api", "llm-worker", "persist-worker"];

/// Starts each service; each must end with this in its sentence.
async fn all_refuse(world: &World, wanted: &str) {
    for service in SERVICES {
        let ended = Process::start(world.command(service)).end().await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let sentence = ended.stderr.lines().last().unwrap_or_default();
        assert!(sentence.starts_with(&format!("{service}: ")) && sentence.contains(wanted), "{ended:?}");
        assert!(!format!("{ended:?}").contains(&world.database.secret), "{ended:?}");
    }
    world.assert_no_files();
}

#[tokio::test]
async fn a_schema_that_is_missing_or_too_old_or_not_granted_is_refused() {
    let Some(world) = World::without_schema().await else { return };
    all_refuse(&world, "`parlance migrate init`").await;
    world.database.migrate().await;
    all_refuse(&world, &format!("`parlance migrate grant {}`", world.database.user)).await;
    let user = &world.database.user;
    world.database.execute(&format!("GRANT parlance_runtime TO {user}")).await;
    let latest = "(SELECT max(version) FROM schema_migrations)";
    world.database.execute(&format!("DELETE FROM schema_migrations WHERE version = {latest}")).await;
    all_refuse(&world, "`parlance migrate init`").await;
}

#[tokio::test]
async fn a_newer_schema_is_none_of_their_business() {
    let Some(world) = World::new(Script::default()).await else { return };
    let newer = "INSERT INTO schema_migrations (version, description, installed_on, success, checksum, execution_time)
                 VALUES (9999, 'from the future', now(), true, '\\x00', 0)";
    world.database.execute(newer).await;
    let (ingest, _worker, _persist) = world.all().await;
    let accepted = ingest.say(None, "still good").await;
    ingest.completed(&accepted.task).await;
}

/// A server that takes no password. The one that tests have trusts everybody.
async fn that_refuses_passwords() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = [0; 1024];
            // It is asked for TLS first.
            if client.read(&mut request).await.is_ok_and(|length| length == 8) {
                let _ = client.write_all(b"N").await;
                let _ = client.read(&mut request).await;
            }
            let fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0\0";
            let _ = client.write_all(&[b"E", &(fields.len() as u32 + 4).to_be_bytes()[..], fields].concat()).await;
        }
    });
    address
}

#[tokio::test]
async fn a_wrong_password_is_said_and_the_service_goes_on_to_ask() {
    let Some(world) = World::new(Script::default()).await else { return };
    let address = that_refuses_passwords().await;
    let url = format!("postgres://someone:s3cr3t-of-the-database@{address}/chat");
    for service in SERVICES {
        let mut command = world.command(service);
        command.env("DATABASE_URL", &url);
        let mut started = Service::start(command).await;
        let line = started.process.says("DB_PASSWORD").await;
        assert!(line.contains("refuses the password of user") && line.contains("someone"), "{line}");
        assert_eq!(started.is_ready().await, service == "ingest-api");
        assert!(!started.process.log().contains("s3cr3t"), "{}", started.process.log());
    }
    world.assert_no_files();
}
