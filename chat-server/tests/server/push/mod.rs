//! Push notifications towards stand-ins of the push services, over HTTP.

mod adapters;
mod events;
mod members;
mod outside;
mod quiet;
mod trouble;
