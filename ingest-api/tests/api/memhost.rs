//! temporary
use crate::support::App;
use serde_json::json;
use std::time::Duration;

fn rss() -> u64 {
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    s.lines().find(|l| l.starts_with("VmRSS")).unwrap().split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
#[ignore]
async fn memhost() {
    let app = App::start().await;
    let n: usize = 2000;
    let mut paths = Vec::new();
    for _ in 0..n {
        let path = app.post("/v1/messages", &json!({"content": "a"})).await.header("location").to_owned();
        let submitted = parlance_shared::event::from_cloud_event(&app.event().await).unwrap();
        std::mem::forget(app.claim(&submitted).await);
        paths.push(path);
    }
    std::fs::write("/tmp/w/mem_paths", format!("{}\n{}", app.address.port(), paths.join("\n"))).unwrap();
    let before = rss();
    let snap = snapshot();
    let mut child = std::process::Command::new("python3").arg("/tmp/w/memclient.py").spawn().unwrap();
    for _ in 0..12000 { if app.live_subscribers() as usize == n { break; } tokio::time::sleep(Duration::from_millis(5)).await; }
    assert_eq!(app.live_subscribers() as usize, n);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let first = rss();
    report(&snap, n);
    eprintln!("before {before} KiB, after {first} KiB, each {} bytes", (first - before) * 1024 / n as u64);
    child.kill().unwrap();
    crate::support::until("gone", || app.live_subscribers() == 0).await;
    eprintln!("after leaving {} KiB", rss());
}

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
pub struct Counting;
static LIVE: [AtomicI64; 65537] = [const { AtomicI64::new(0) }; 65537];
fn slot(n: usize) -> usize { n.min(65536) }
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, l: Layout) -> *mut u8 { LIVE[slot(l.size())].fetch_add(1, Relaxed); unsafe { System.alloc(l) } }
    unsafe fn dealloc(&self, p: *mut u8, l: Layout) { LIVE[slot(l.size())].fetch_sub(1, Relaxed); unsafe { System.dealloc(p, l) } }
    unsafe fn realloc(&self, p: *mut u8, l: Layout, n: usize) -> *mut u8 { LIVE[slot(l.size())].fetch_sub(1, Relaxed); LIVE[slot(n)].fetch_add(1, Relaxed); unsafe { System.realloc(p, l, n) } }
}
#[global_allocator]
static A: Counting = Counting;
pub fn snapshot() -> Vec<i64> { LIVE.iter().map(|x| x.load(Relaxed)).collect() }
pub fn report(before: &[i64], n: usize) {
    let mut total = 0.0;
    for (size, (b, a)) in before.iter().zip(snapshot()).enumerate() {
        let per = (a - b) as f64 / n as f64;
        if per.abs() > 0.05 { eprintln!("{size:6} x {per:.2}"); total += per * size as f64; }
    }
    eprintln!("heap each: {total:.0}");
}
