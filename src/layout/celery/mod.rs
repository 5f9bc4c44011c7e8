//! Celery, on each broker that it runs on.

pub mod rabbitmq;
