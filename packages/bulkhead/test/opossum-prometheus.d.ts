/** opossum's exporter for Prometheus comes without types. */
declare module "opossum-prometheus" {
  import type CircuitBreaker from "opossum";

  export default class PrometheusMetrics {
    constructor(options: { readonly circuits: readonly CircuitBreaker[] });
    /** The text that Prometheus reads. */
    readonly metrics: string;
    clear(): void;
  }
}
