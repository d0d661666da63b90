//! An instance of the services is started, killed, started again and stopped, as a fault test does it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::{
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
};

struct Instance(String);

impl Instance {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self(format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    fn services(&self, command: &str, name: &str) -> Output {
        let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
        xtask.args(["services", "--instance", &self.0, command, name]).output().unwrap()
    }

    fn works(&self, command: &str, name: &str) -> String {
        let output = self.services(command, name);
        let [said, errors] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
        assert!(output.status.success(), "{command} {name}: {said}{errors}");
        said + &errors
    }

    /// Whether it can be started here.
    fn starts(&self, name: &str) -> bool {
        let output = self.services("up", name);
        let errors = String::from_utf8_lossy(&output.stderr);
        if !output.status.success()
            && errors.contains("install it with")
            && std::env::var("CI").as_deref() != Ok("true")
        {
            println!("not run: {errors}");
            return false;
        }
        assert!(output.status.success(), "{errors}");
        true
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        for name in ["postgres", "emulator"] {
            let _ = self.services("down", name);
        }
    }
}

/// The lines that tests read.
fn exports(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.starts_with("export ")).collect()
}

fn lives_through_a_crash(name: &str) {
    let instance = Instance::new();
    if !instance.starts(name) {
        return;
    }
    let first = instance.works("up", name);
    assert!(first.contains(" runs "), "{first}");
    assert!(instance.works("status", name).contains(" answers "));
    instance.works("kill", name);
    assert!(!instance.services("status", name).status.success());
    let second = instance.works("up", name);
    assert!(second.contains(" started "), "{second}");
    assert_eq!(exports(&first), exports(&second), "whoever waits for it finds it where it was");
    instance.works("down", name);
    assert!(!instance.services("status", name).status.success());
    assert!(!instance.services("kill", name).status.success());
    instance.works("down", name);
}

#[test]
fn postgres_lives_through_a_crash() {
    lives_through_a_crash("postgres");
}

#[test]
fn the_emulator_lives_through_a_crash() {
    lives_through_a_crash("emulator");
}
