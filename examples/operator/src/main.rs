//! Runs the operator against the cluster of the kubeconfig, until it is interrupted.
#![forbid(unsafe_code)]

use kube::Client;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let client = Client::try_default().await?;
    konzert_example_operator::install(&client).await?;
    tokio::select! {
        () = konzert_example_operator::run(client) => {}
        signal = tokio::signal::ctrl_c() => signal?,
    }
    Ok(())
}
