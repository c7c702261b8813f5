//! What people do with kubectl, in the order of a day's work.

mod changing;
mod creating;
mod ending;
mod reading;

use crate::table::Row;

/// All rows.
pub(crate) const ROWS: &[Row] = &join();

const PARTS: [&[Row]; 4] = [creating::ROWS, reading::ROWS, changing::ROWS, ending::ROWS];
const COUNT: usize = creating::ROWS.len() + reading::ROWS.len() + changing::ROWS.len() + ending::ROWS.len();

const fn join() -> [Row; COUNT] {
    let mut all = [creating::ROWS[0]; COUNT];
    let (mut at, mut part) = (0, 0);
    while part < PARTS.len() {
        let mut row = 0;
        while row < PARTS[part].len() {
            all[at] = PARTS[part][row];
            at += 1;
            row += 1;
        }
        part += 1;
    }
    all
}

/// A Deployment of `replicas` servers.
pub(crate) fn deployment(name: &str, replicas: u32, image: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  labels: {{app: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: app
          image: {image}
          imagePullPolicy: Never
          ports: [{{name: http, containerPort: 8080}}]
          readinessProbe: {{httpGet: {{path: /ready, port: http}}, periodSeconds: 1}}
"
    )
}
