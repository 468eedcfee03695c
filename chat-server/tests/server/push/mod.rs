//! Push notifications towards stand-ins of the push services, over HTTP.

mod adapters;
mod members;
mod outside;
mod quiet;
mod trouble;
