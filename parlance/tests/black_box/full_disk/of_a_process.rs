//! The same with the real process, which meets the system's own errors.

use std::{io::Write as _, path::PathBuf, process::Command};

use parlance_mock_llm::{Script, expected_reply};

use super::{CONTEXT_TOKENS, SLOW, SLOW_TOKENS, a_turn, goes_on, refuses_new_and_reads_old};
use crate::support::{Folder, Process, Server, World};

/// The real process. Where the kernel lets us make a small disk, on one; else with a bound on the size of its files.
#[tokio::test]
async fn a_process_without_room_refuses_messages_until_there_is_some() {
    let world = World::new(Script::default()).with("CONTEXT_TOKENS", CONTEXT_TOKENS);
    std::fs::create_dir(world.data_dir()).unwrap();
    let (server, shortage) = Shortage::prepare(&world).await;
    let before = a_turn(&server).await;
    let under_way = server.say(None, SLOW).await;
    shortage.begin(&world);
    let accepted = refuses_new_and_reads_old(&server, &before, shortage.code()).await;
    shortage.end(&world);
    let folder = shortage.seen_from_here(&world);
    goes_on(&server, &accepted, async || server.process.paused(Folder::copied(&folder)).await).await;
    let ended = server.ended(&under_way.task).await;
    assert_eq!(ended["reply"]["content"], expected_reply(SLOW, SLOW_TOKENS), "{ended}");
    server.stop().await;
}

/// How a process is deprived of room.
#[derive(Clone, Copy)]
enum Shortage {
    /// A file system of its own, in a namespace of its own: full as a disk is full.
    SmallDisk { pid: u32 },
    /// No file may grow. Anybody may ask for this, but the system calls it a fault, not a lack of room.
    SmallFiles { pid: u32 },
}

impl Shortage {
    async fn prepare(world: &World) -> (Server, Self) {
        const UNSHARE: [&str; 4] = ["unshare", "--user", "--map-root-user", "--mount"];
        const MOUNT: &str = "mount -t tmpfs -o size=8m tmpfs \"$DATA_DIR\"";
        // The signal that would end the process is ignored, so that the write fails instead.
        const IGNORE: &str = "trap '' XFSZ";
        let shell = |words: &[&str], script: &str| {
            let binary = world.command();
            let mut shell = Command::new(words.first().unwrap_or(&"sh"));
            shell.args(words.iter().skip(1)).args((!words.is_empty()).then_some("sh")).args(["-c", script]);
            shell.arg(binary.get_program()).env_clear().envs(std::env::vars_os().filter(|(name, _)| name == "PATH"));
            shell.envs(binary.get_envs().filter_map(|(name, value)| Some((name, value?))));
            shell
        };
        let can_mount = shell(&UNSHARE, MOUNT).output().is_ok_and(|output| output.status.success());
        let (words, script) = if can_mount { (&UNSHARE[..], MOUNT) } else { (&[][..], IGNORE) };
        let process = Process::start(shell(words, &format!("{script} && exec \"$0\"")));
        let pid = process.pid();
        (Server::start(process).await, if can_mount { Self::SmallDisk { pid } } else { Self::SmallFiles { pid } })
    }

    /// The data folder, as this process sees it.
    fn seen_from_here(self, world: &World) -> PathBuf {
        match self {
            Self::SmallDisk { pid } => PathBuf::from(format!("/proc/{pid}/root{}", world.data_dir().display())),
            Self::SmallFiles { .. } => world.data_dir(),
        }
    }

    fn begin(self, world: &World) {
        match self {
            Self::SmallDisk { .. } => {
                let mut filler = std::fs::File::create(self.seen_from_here(world).join("filler")).unwrap();
                let full = std::iter::repeat_with(|| filler.write_all(&[0; 4096])).find_map(Result::err).unwrap();
                assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
            }
            Self::SmallFiles { .. } => {
                let files = std::fs::read_dir(world.data_dir()).unwrap();
                let largest = files.map(|file| file.unwrap().metadata().unwrap().len()).max().unwrap();
                self.bound_files(largest);
            }
        }
    }

    fn end(self, world: &World) {
        match self {
            Self::SmallDisk { .. } => std::fs::remove_file(self.seen_from_here(world).join("filler")).unwrap(),
            Self::SmallFiles { .. } => self.bound_files(rlimit::INFINITY),
        }
    }

    fn bound_files(self, bytes: u64) {
        let (Self::SmallDisk { pid } | Self::SmallFiles { pid }) = self;
        let limits = Some((bytes, rlimit::INFINITY));
        rlimit::prlimit(pid.try_into().unwrap(), rlimit::Resource::FSIZE, limits, None).unwrap();
    }

    fn code(self) -> &'static str {
        match self {
            Self::SmallDisk { .. } => "storage_full",
            Self::SmallFiles { .. } => "unavailable",
        }
    }
}
