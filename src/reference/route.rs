//! The routes of the reference API, as the books and the metrics name them.

/// A route, whatever the method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Route {
    Health,
    HealthDetailed,
    Inference,
    InferenceBatch,
    Jobs,
    Job,
    Chat,
    Token,
    Metrics,
    /// Any path that is none of these.
    Other,
}

impl Route {
    /// All but `Other`.
    pub(super) const KNOWN: [Self; 9] = [
        Self::Health,
        Self::HealthDetailed,
        Self::Inference,
        Self::InferenceBatch,
        Self::Jobs,
        Self::Job,
        Self::Chat,
        Self::Token,
        Self::Metrics,
    ];

    /// The path with its parameters in braces, as the router reads it.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Health => "/health",
            Self::HealthDetailed => "/health/detailed",
            Self::Inference => "/v1/inference",
            Self::InferenceBatch => "/v1/inference/batch",
            Self::Jobs => "/v1/jobs",
            Self::Job => "/v1/jobs/{id}",
            Self::Chat => "/v1/chat/completions",
            Self::Token => "/auth/token",
            Self::Metrics => "/metrics",
            Self::Other => "other",
        }
    }

    /// The route with this path.
    pub(super) fn of(path: Option<&str>) -> Self {
        Self::KNOWN
            .into_iter()
            .find(|route| Some(route.path()) == path)
            .unwrap_or(Self::Other)
    }

    /// Whether a token is needed where tokens are needed at all.
    pub(super) fn is_guarded(self) -> bool {
        matches!(
            self,
            Self::Inference | Self::InferenceBatch | Self::Jobs | Self::Job | Self::Chat
        )
    }

    /// Whether a request to it asks for an inference.
    pub(super) fn infers(self) -> bool {
        self.is_guarded() && self != Self::Job
    }

    /// Whether its answer holds the inference, so that the time to it is the server's own time.
    pub(super) fn answers_inference(self) -> bool {
        matches!(self, Self::Inference | Self::InferenceBatch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_back_to_their_routes() {
        for route in Route::KNOWN {
            assert_eq!(Route::of(Some(route.path())), route);
            assert_eq!(route.is_guarded(), route.path().starts_with("/v1/"));
        }
        assert_eq!(Route::of(Some("/v2")), Route::Other);
        assert_eq!(Route::of(None), Route::Other);
    }
}
