//! The routing files of the demo, as a user would write them.

/// Splits, a retry policy and the ejection of a version that fails. v3 is broken: it answers 503 to everything.
pub(crate) const SHOP: &str = r#"apiVersion: v1
kind: Service
metadata: { name: web }
spec:
  selector: { app: web }
  ports: [{ name: http, port: 9080 }]
---
apiVersion: v1
kind: Service
metadata: { name: details }
spec:
  selector: { app: details }
  ports: [{ name: http, port: 9080 }]
---
apiVersion: v1
kind: Service
metadata: { name: reviews }
spec:
  selector: { app: reviews }
  ports: [{ name: http, port: 9080 }]
---
apiVersion: v1
kind: Service
metadata: { name: ratings }
spec:
  selector: { app: ratings }
  ports: [{ name: http, port: 9080 }]
---
# Nine in ten go to v1, the rest to the canaries v2 and v3.
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews }
spec:
  hosts: [reviews]
  http:
    - name: canary
      route:
        - destination: { host: reviews, subset: stable }
          weight: 90
        - destination: { host: reviews, subset: canary }
          weight: 10
      timeout: 5s
      retries: { attempts: 3, perTryTimeout: 2s, retryOn: "5xx,connect-failure,refused-stream" }
---
# A version that fails is left out for a while. (Latency-aware balancing sends it so little that one failure must do.)
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: reviews }
spec:
  host: reviews
  trafficPolicy:
    outlierDetection: { consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 10s, maxEjectionPercent: 50 }
  subsets:
    - { name: stable, labels: { track: stable } }
    - { name: canary, labels: { track: canary } }
"#;
