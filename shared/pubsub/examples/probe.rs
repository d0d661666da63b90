#![allow(warnings, clippy::all)]
use google_cloud_auth::credentials::anonymous;
use google_cloud_pubsub::client::*;
use google_cloud_pubsub::model::*;
use google_cloud_pubsub::subscriber::{MessageStream, handler::Handler};
use std::time::{Duration, Instant};

fn ep() -> String {
    std::env::var("EP").unwrap_or("http://127.0.0.1:18085".into())
}

struct R(tokio::sync::mpsc::UnboundedReceiver<(Message, Handler)>, tokio::task::JoinHandle<()>);
async fn next(s: &mut R, ms: u64) -> Option<(String, Handler)> {
    match tokio::time::timeout(Duration::from_millis(ms), s.0.recv()).await {
        Ok(Some((m, h))) => {
            println!("   got {} att={:?} id={}", String::from_utf8_lossy(&m.data), h.delivery_attempt(), m.message_id);
            Some((String::from_utf8_lossy(&m.data).into(), h))
        }
        _ => None,
    }
}
struct P {
    proj: String,
    base: BasePublisher,
    ta: TopicAdmin,
    sa: SubscriptionAdmin,
    sub: Subscriber,
}
impl P {
    async fn new(n: &str) -> P {
        let c = || anonymous::Builder::new().build();
        P {
            proj: format!("probe-{n}-{}", uuid::Uuid::new_v4()),
            base: BasePublisher::builder().with_endpoint(ep()).with_credentials(c()).build().await.unwrap(),
            ta: TopicAdmin::builder().with_endpoint(ep()).with_credentials(c()).build().await.unwrap(),
            sa: SubscriptionAdmin::builder().with_endpoint(ep()).with_credentials(c()).build().await.unwrap(),
            sub: Subscriber::builder().with_endpoint(ep()).with_credentials(c()).build().await.unwrap(),
        }
    }
    fn t(&self) -> String {
        format!("projects/{}/topics/topic-t", self.proj)
    }
    fn s(&self) -> String {
        format!("projects/{}/subscriptions/sub-s", self.proj)
    }
    async fn setup(&self, dl: Option<i32>, retry: bool) {
        self.ta.create_topic().set_name(self.t()).send().await.unwrap();
        let mut r = self
            .sa
            .create_subscription()
            .set_name(self.s())
            .set_topic(self.t())
            .set_enable_message_ordering(true)
            .set_ack_deadline_seconds(10);
        if let Some(n) = dl {
            let d = format!("projects/{}/topics/topic-d", self.proj);
            self.ta.create_topic().set_name(d.clone()).send().await.unwrap();
            r = r.set_dead_letter_policy(DeadLetterPolicy::new().set_dead_letter_topic(d).set_max_delivery_attempts(n));
        }
        if retry {
            r = r.set_retry_policy(
                RetryPolicy::new()
                    .set_minimum_backoff(google_cloud_wkt::Duration::clamp(0, 500_000_000))
                    .set_maximum_backoff(google_cloud_wkt::Duration::clamp(30, 0)),
            );
        }
        r.send().await.unwrap();
    }
    fn stream(&self) -> R {
        let mut st = self.sub.subscribe(self.s()).set_max_lease_extension(Duration::from_secs(10)).build();
        let (tx, rx) = tokio::sync::mpsc::unbounded_channel();
        let h = tokio::spawn(async move {
            while let Some(Ok(x)) = st.next().await {
                if tx.send(x).is_err() {
                    break;
                }
            }
        });
        R(rx, h)
    }
    async fn pubs(&self, key: &str, ids: &[&str]) {
        let p = self.base.publisher(self.t()).set_message_count_threshold(1).build();
        for id in ids {
            p.publish(Message::new().set_data(id.to_string()).set_ordering_key(key)).await.unwrap();
        }
    }
}
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let which = std::env::args().nth(1).unwrap_or_default();
    let all = which.is_empty();
    if all || which == "1" {
        println!("E1/E2 nack head only");
        let p = P::new("1").await;
        p.setup(None, true).await;
        let mut s = p.stream();
        p.pubs("k", &["m1", "m2", "m3", "m4"]).await;
        let mut v = vec![];
        while let Some(x) = next(&mut s, 500).await {
            v.push(x);
        }
        println!(" nack m1");
        v.remove(0).1.nack();
        let t = Instant::now();
        let mut w = vec![];
        while let Some(x) = next(&mut s, 1500).await {
            println!("     at {:?}", t.elapsed());
            w.push(x);
        }
        println!(" ack old m2..m4 ids, nack m1 again");
        for x in v {
            x.1.ack();
        }
        w.into_iter().for_each(|x| x.1.nack());
        let mut w = vec![];
        while let Some(x) = next(&mut s, 1500).await {
            w.push(x);
        }
        for x in w {
            x.1.ack();
        }
    }
    if all || which == "3" {
        println!("E3 nack all, reversed and publish between");
        let p = P::new("3").await;
        p.setup(None, true).await;
        let mut s = p.stream();
        p.pubs("k", &["m1", "m2", "m3", "m4"]).await;
        for round in 0..4 {
            let mut v = vec![];
            while let Some(x) = next(&mut s, 700).await {
                v.push(x);
            }
            println!(" nack all (round {round})");
            if round % 2 == 1 {
                v.reverse();
            }
            for x in v {
                x.1.nack();
            }
            if round == 2 {
                tokio::time::sleep(Duration::from_millis(95)).await;
                p.pubs("k", &["n1", "n2", "n3"]).await;
            }
        }
    }
    if all || which == "4" {
        println!("E4 two streams");
        let p = P::new("4").await;
        p.setup(None, true).await;
        let mut a = p.stream();
        let mut b = p.stream();
        let _ = tokio::join!(next(&mut a, 300), next(&mut b, 300));
        for i in 0..6 {
            p.pubs(&format!("k{}", i % 3), &[&format!("k{}-m{i}", i % 3)]).await;
        }
        let mut va = vec![];
        let mut vb = vec![];
        println!(" A");
        while let Some(x) = next(&mut a, 700).await {
            va.push(x);
        }
        println!(" B");
        while let Some(x) = next(&mut b, 700).await {
            vb.push(x);
        }
        println!(" publish one more of each");
        for i in 6..9 {
            p.pubs(&format!("k{}", i % 3), &[&format!("k{}-m{i}", i % 3)]).await;
        }
        println!(" A");
        while let Some(x) = next(&mut a, 700).await {
            va.push(x);
        }
        println!(" B");
        while let Some(x) = next(&mut b, 700).await {
            vb.push(x);
        }
        println!(" A nacks all and goes");
        drop(va);
        drop(a);
        tokio::time::sleep(Duration::from_millis(400)).await;

        println!(" B");
        while let Some(x) = next(&mut b, 700).await {
            vb.push(x);
        }
    }
    if all || which == "5" {
        println!("E5 kill A while B runs");
        let p = P::new("5").await;
        p.setup(None, true).await;
        let rt = tokio::runtime::Runtime::new().unwrap();
        let proj = p.proj.clone();
        let (tx, rx) = tokio::sync::oneshot::channel();
        rt.spawn(async move {
            let mut q = P::new("5").await;
            q.proj = proj;
            let mut a = q.stream();
            let mut v = vec![];
            tx.send(()).unwrap();
            loop {
                if let Some(x) = next(&mut a, 300).await {
                    v.push(x)
                }
            }
        });
        rx.await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        p.pubs("k", &["m1", "m2", "m3"]).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let mut b = p.stream();
        println!(" B before");
        while let Some(x) = next(&mut b, 500).await {
            std::mem::forget(x);
        }
        rt.shutdown_background();
        let t = Instant::now();
        p.pubs("k", &["m4", "m5"]).await;
        println!(" B after kill");
        for _ in 0..16 {
            if let Some(x) = next(&mut b, 1000).await {
                println!("    at {:?}", t.elapsed());
                std::mem::forget(x);
            }
        }
    }
    if all || which == "7" {
        println!("E7 dead-letter policy 100: nack head many times");
        let p = P::new("7").await;
        p.setup(Some(100), true).await;
        let mut s = p.stream();
        p.pubs("k", &["m1", "m2"]).await;
        let mut n = 0;
        let t = Instant::now();
        loop {
            match next(&mut s, 3000).await {
                Some(x) => {
                    n += 1;
                    x.1.nack();
                    if n > 230 {
                        break;
                    }
                }
                None => break,
            }
        }
        println!(" {n} deliveries in {:?}", t.elapsed());
    }
    if which == "8" {
        let p = P::new("8").await;
        p.setup(None, true).await;
        let mut s = p.stream();
        for (name, mc, d) in [("default", 100, 10), ("count1", 1, 10), ("delay0", 100, 0)] {
            let pb = p
                .base
                .publisher(p.t())
                .set_message_count_threshold(mc)
                .set_delay_threshold(Duration::from_millis(d))
                .build();
            let mut v = vec![];
            let mut w = vec![];
            for i in 0..300 {
                let t = Instant::now();
                pb.publish(Message::new().set_data("x").set_ordering_key(format!("k{i}"))).await.unwrap();
                v.push(t.elapsed());
                let (m, h) = s.0.recv().await.unwrap();
                w.push(t.elapsed());
                h.ack();
            }
            v.sort();
            w.sort();
            println!(
                "{name}: publish p50 {:?} p99 {:?}; to delivery p50 {:?} p99 {:?}",
                v[150], v[297], w[150], w[297]
            );
        }
    }

    if which == "9" {
        for n in [1usize, 2, 4, 8] {
            for same in [false, true] {
                let p = P::new("9").await;
                p.setup(None, true).await;
                let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
                for _ in 0..n {
                    let tx = tx.clone();
                    let mut st = p.stream();
                    tokio::time::sleep(Duration::from_millis(57)).await;
                    tokio::spawn(async move {
                        while let Some(x) = st.0.recv().await {
                            tx.send(x).ok();
                        }
                    });
                }
                tokio::time::sleep(Duration::from_millis(300)).await;
                let pb = p.base.publisher(p.t()).set_message_count_threshold(1u32).build();
                let mut w = vec![];
                let mut pl = vec![];
                for i in 0..100u64 {
                    tokio::time::sleep(Duration::from_millis(150 + i * 7 % 53)).await;
                    let t = Instant::now();
                    pb.publish(Message::new().set_data("x").set_ordering_key(if same {
                        "k".to_string()
                    } else {
                        format!("k{i}")
                    }))
                    .await
                    .unwrap();
                    pl.push(t.elapsed());
                    let (m, h) = rx.recv().await.unwrap();
                    w.push(t.elapsed());
                    h.ack();
                }
                w.sort();
                pl.sort();
                println!(
                    "{n} streams same={same}: publish p50 {:?}, to delivery p50 {:?} p90 {:?} max {:?}",
                    pl[50], w[50], w[90], w[99]
                );
            }
        }
    }
    if which == "10" {
        println!("E10 graceful close of stream without nack; B takes");
        let p = P::new("10").await;
        p.setup(None, true).await;
        let mut a = p.stream();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut b = p.stream();
        tokio::time::sleep(Duration::from_millis(300)).await;
        p.pubs("k", &["m1", "m2", "m3"]).await;
        let mut va = vec![];
        let mut vb = vec![];
        println!(" A");
        while let Some(x) = next(&mut a, 500).await {
            va.push(x);
        }
        println!(" B");
        while let Some(x) = next(&mut b, 500).await {
            vb.push(x);
        }
        let (stays, hs) = if va.is_empty() {
            a.1.abort();
            (&mut b, &mut vb)
        } else {
            b.1.abort();
            (&mut a, &mut va)
        };
        println!(" other stream aborted; nack m1 only, and publish m4; hold m2 m3");
        hs.remove(0).1.nack();
        p.pubs("k", &["m4"]).await;
        while let Some(x) = next(stays, 500).await {
            hs.push(x);
        }
        println!(" nack all in received order [m2 m3 ...]");
        for x in hs.drain(..) {
            x.1.nack();
        }
        while let Some(x) = next(stays, 500).await {
            hs.push(x);
        }
    }
    if which == "11" {
        println!("E11 nack while other stream is there: who gets it, and followers");
        let p = P::new("11").await;
        p.setup(None, true).await;
        let mut a = p.stream();
        tokio::time::sleep(Duration::from_millis(200)).await;
        p.pubs("k", &["m1", "m2", "m3"]).await;
        let mut va = vec![];
        println!(" A");
        while let Some(x) = next(&mut a, 500).await {
            va.push(x);
        }
        let mut b = p.stream();
        tokio::time::sleep(Duration::from_millis(300)).await;
        println!(" nack m1 only at A (A alive)");
        va.remove(0).1.nack();
        let (x, y) = tokio::join!(next(&mut a, 1000), next(&mut b, 1000));
        println!(" A {} B {}", x.is_some(), y.is_some());
        println!(" A's reader ends, m1 dropped, m2 m3 held by A");
        a.1.abort();
        drop(x);
        drop(y);
        while let Some(x) = next(&mut b, 1500).await {
            std::mem::forget(x);
        }
        println!(" publish m4");
        p.pubs("k", &["m4"]).await;
        while let Some(x) = next(&mut b, 1500).await {
            std::mem::forget(x);
        }
        println!(" A drops m2 m3");
        drop(va);
        while let Some(x) = next(&mut b, 1500).await {
            std::mem::forget(x);
        }
    }

    if which == "12" {
        for variant in ["nack", "ack-head-nack-rest", "modack-reverse"] {
            println!("E12 {variant}: A stops reading, m4 published, A nacks m1..m3, B is there");
            let p = P::new("12").await;
            p.setup(None, true).await;
            let mut a = p.stream();
            tokio::time::sleep(Duration::from_millis(200)).await;
            p.pubs("k", &["m1", "m2", "m3"]).await;
            let mut va = vec![];
            println!(" A");
            while let Some(x) = next(&mut a, 500).await {
                va.push(x);
            }
            let mut b = p.stream();
            tokio::time::sleep(Duration::from_millis(300)).await;
            a.1.abort();
            tokio::time::sleep(Duration::from_millis(100)).await;
            p.pubs("k", &["m4"]).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            println!(" B before nack");
            let mut vb = vec![];
            while let Some(x) = next(&mut b, 300).await {
                vb.push(x);
            }
            if variant == "ack-head-nack-rest" {
                va.remove(0).1.ack();
            }
            if variant == "modack-reverse" {
                va.reverse();
            }
            for x in va {
                x.1.nack();
            }
            println!(" B after nack");
            let mut vb = vec![];
            while let Some(x) = next(&mut b, 1500).await {
                vb.push(x);
            }
        }
    }
    if which == "13" {
        println!("E13: A alive & reading; B alive; A nacks whole group m1..m3; who gets it?");
        let p = P::new("13").await;
        p.setup(None, true).await;
        let mut a = p.stream();
        tokio::time::sleep(Duration::from_millis(200)).await;
        p.pubs("k", &["m1", "m2", "m3"]).await;
        let mut va = vec![];
        println!(" A");
        while let Some(x) = next(&mut a, 500).await {
            va.push(x);
        }
        let mut b = p.stream();
        tokio::time::sleep(Duration::from_millis(300)).await;
        for round in 0..3 {
            for x in va.drain(..) {
                x.1.nack();
            }
            println!(" A");
            while let Some(x) = next(&mut a, 500).await {
                va.push(x);
            }
            println!(" B");
            while let Some(x) = next(&mut b, 500).await {
                va.push(x);
            }
        }
        println!(" ack all, then m4");
        for x in va.drain(..) {
            x.1.ack();
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        p.pubs("k", &["m4"]).await;
        println!(" A");
        while let Some(x) = next(&mut a, 500).await {
            va.push(x);
        }
        println!(" B");
        while let Some(x) = next(&mut b, 500).await {
            va.push(x);
        }
    }

    if which == "14" {
        for (wait, ordered_key, dl) in
            [(100u64, "", None), (100, "k", None), (100, "k", Some(100)), (2000, "k", None), (100, "", Some(100))]
        {
            println!("E14 wait {wait} key {ordered_key:?} dl {dl:?}");
            let p = P::new("14").await;
            p.setup(dl, true).await;
            let mut st = p.sub.subscribe(p.s()).set_max_lease_extension(Duration::from_secs(10)).build();
            p.pubs(ordered_key, &["m1", "m2"]).await;
            let (m, h) = st.next().await.unwrap().unwrap();
            let (m2, h2) = st.next().await.unwrap().unwrap();
            let tok = st.shutdown_token();
            drop(st);
            tokio::time::sleep(Duration::from_millis(wait)).await;
            drop(h);
            drop(h2);
            println!("  shutdown: {:?}", tokio::time::timeout(Duration::from_secs(3), tok.shutdown()).await.is_ok());
            let t = Instant::now();
            let mut b = p.stream();
            for _ in 0..2 {
                if let Some(x) = next(&mut b, 15000).await {
                    println!("   after {:?}", t.elapsed());
                    x.1.ack();
                }
            }
        }
    }

    if which == "15" {
        // stream A opened, closed with no message in hand; publish later; B opened.
        for (gap, other) in [(300u64, false), (3000, false), (12000, false), (300, true)] {
            println!(
                "E15 A gets m1, acked; A closed {gap} ms ago; new B opened; then m2 published (other client {other})"
            );
            let p = P::new("15").await;
            p.setup(None, true).await;
            let mut st = p.sub.subscribe(p.s()).set_max_lease_extension(Duration::from_secs(10)).build();
            p.pubs("k", &["m1"]).await;
            let (m, h) = st.next().await.unwrap().unwrap();
            h.ack();
            tokio::time::sleep(Duration::from_millis(300)).await;
            let tok = st.shutdown_token();
            drop(st);
            tok.shutdown().await;
            tokio::time::sleep(Duration::from_millis(gap)).await;
            let mut q = P::new("15").await;
            q.proj = p.proj.clone();
            let mut b = if other { q.stream() } else { p.stream() };
            tokio::time::sleep(Duration::from_millis(500)).await;
            for (i, k) in ["k", "k", "a", "b", "c", "d", "e", "f"].iter().enumerate() {
                p.pubs(k, &[&format!("{k}-{i}")]).await;
            }
            let t = Instant::now();
            for _ in 0..8 {
                if let Some(x) = next(&mut b, 15000).await {
                    println!("   after {:?}", t.elapsed());
                    x.1.ack();
                }
            }
        }
    }
}
