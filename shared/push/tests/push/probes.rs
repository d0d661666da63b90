//! What is there in both modes, and what is not.

use std::{sync::Arc, time::Duration};

use parlance_push::{Limits, NotReady};

use crate::support::{Build, problem};

#[tokio::test]
async fn health_ready_and_metrics_answer_in_both_modes() {
    for pulls in [true, false] {
        let worker = Build { pulls, ..Build::default() }.start().await;
        let health: serde_json::Value = worker.get("/health").await.json().await.unwrap();
        assert_eq!((&health["service"], &health["status"]), (&"persist-worker".into(), &"ok".into()));
        assert_eq!(health["version"], "1.2.3");
        let ready: serde_json::Value = worker.get("/health/ready").await.json().await.unwrap();
        assert_eq!(ready["status"], "ready");
        let metrics = worker.get("/metrics").await;
        assert!(metrics.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
        let text = metrics.text().await.unwrap();
        assert!(text.contains("parlance_http_responses_total{class=\"2xx\"} 2"), "{text}");
    }
}

#[tokio::test]
async fn a_worker_that_pulls_takes_no_pushes() {
    let worker = Build { pulls: true, ..Build::default() }.start().await;
    for path in ["/push", "/"] {
        let response = worker.post(path).body("{}").send().await.unwrap();
        assert_eq!(problem(response).await, (404, "route_not_found".into(), None));
    }
    assert_eq!(problem(worker.post("/health").send().await.unwrap()).await.0, 405);
}

#[tokio::test]
async fn what_is_amiss_is_told_by_code_and_in_time() {
    let ready = Arc::new(|| -> futures_util::future::BoxFuture<'static, Vec<NotReady>> {
        Box::pin(async { vec![NotReady { code: "store_unavailable", cause: "an inner detail".into() }] })
    });
    let worker = Build { ready, ..Build::default() }.start().await;
    let response = worker.get("/health/ready").await;
    assert_eq!(response.status(), 503);
    let text = response.text().await.unwrap();
    assert!(text.contains(r#""reasons":["store_unavailable"]"#) && !text.contains("inner"), "{text}");

    let limits = Limits { ready_timeout: Duration::from_millis(20), ..Limits::default() };
    let worker =
        Build { ready: Arc::new(|| Box::pin(std::future::pending())), limits, ..Build::default() }.start().await;
    let text = worker.get("/health/ready").await.text().await.unwrap();
    assert!(text.contains(r#""reasons":["check_timeout"]"#), "{text}");
    assert_eq!(worker.get("/health").await.status(), 200);
}
