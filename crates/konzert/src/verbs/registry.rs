//! What verbs that talk to registries share: options, and how a failure ends.

use konzert_images::{ImageError, PlainHttp, RegistryOptions};

use super::image_failure;
use crate::cli::RegistryArgs;
use crate::config;
use crate::exit::{Exit, Failure};

/// What the options mean, with this user's credentials.
pub(crate) fn options(args: &RegistryArgs) -> Result<RegistryOptions, Failure> {
    let platform = args.platform.as_deref().map(str::parse).transpose().map_err(image_failure)?;
    let plain_http = if args.plain_http { PlainHttp::Always } else { PlainHttp::Loopback };
    Ok(RegistryOptions {
        credentials: config::credentials()?,
        plain_http,
        platform,
        ..RegistryOptions::default()
    })
}

/// What went wrong with a registry is not the user's input.
pub(crate) fn pull_failure(error: ImageError) -> Failure {
    Failure { exit: Exit::Failed, ..image_failure(error) }
}
