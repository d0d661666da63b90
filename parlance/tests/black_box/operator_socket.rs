//! The socket of the process that has the data folder.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

use parlance_mock_llm::Script;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use crate::support::{Server, World};

async fn answer(world: &World, request: &str) -> String {
    let mut stream = UnixStream::connect(world.data_dir().join("admin.sock")).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn it_is_the_owners_alone_and_goes_with_its_process() {
    let world = World::new(Script::default());
    let socket = world.data_dir().join("admin.sock");
    let server = world.start().await;
    let metadata = std::fs::metadata(&socket).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    server.stop().await;
    assert!(!socket.exists());

    world.start().await.kill();
    assert!(socket.exists(), "nobody was left to remove it");
    // The commands are not misled by it, and the next process replaces it.
    assert_eq!(world.operate("dead-letters list").await.stdout, "no dead letters\n");
    let server = world.start().await;
    assert_eq!(world.operate("dead-letters list").await.stdout, "no dead letters\n");
    server.stop().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn calls_are_bounded_and_checked() {
    let world = World::new(Script::default());
    let server: Server = world.start().await;
    let post = |path: &str, body: &str| {
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    };
    let letters = answer(&world, &post("/v1/dead-letters", r#"{"subscription":"llm-worker"}"#)).await;
    assert!(letters.starts_with("HTTP/1.1 200") && letters.ends_with("[]"), "{letters}");
    let nobody = answer(&world, &post("/v1/dead-letters", r#"{"subscription":"nobody"}"#)).await;
    assert!(nobody.starts_with("HTTP/1.1 422") && nobody.contains("rejected"), "{nobody}");
    let garbage = answer(&world, &post("/v1/dead-letters", "{")).await;
    assert!(garbage.starts_with("HTTP/1.1 400") && garbage.contains("rejected"), "{garbage}");
    let unknown = answer(&world, &post("/v2/anything", "{}")).await;
    assert!(unknown.starts_with("HTTP/1.1 404"), "{unknown}");
    let large =
        "POST /v1/replay HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100000000\r\n\r\n";
    let refused = answer(&world, large).await;
    assert!(refused.starts_with("HTTP/1.1 413"), "{refused}");

    // More connections than it takes, that say nothing: they wait, and the server does not wait for them.
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(UnixStream::connect(world.data_dir().join("admin.sock")).await.unwrap());
    }
    let asked = std::time::Instant::now();
    server.stop().await;
    assert!(asked.elapsed() < std::time::Duration::from_secs(3), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_folder_whose_path_is_longer_than_a_sockets_address_works_too() {
    let world = World::new(Script::default());
    let folder = world.data_dir().join("a-long-way-down".repeat(8));
    let folder = folder.to_str().unwrap();
    let world = world.with("DATA_DIR", folder);
    let server = world.start().await;
    assert_eq!(world.operate("dead-letters list").await.stdout, "no dead letters\n");
    server.stop().await;
}
