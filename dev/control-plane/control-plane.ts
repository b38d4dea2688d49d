/** A server of the control plane, crashed and brought back at will; its data, port and certificate stay the same. */
export interface Restartable {
  /** SIGKILL; resolves when it is gone. Nothing happens to one that is not running. */
  kill(): Promise<void>;
  /** Resolves when it serves again. Nothing happens to one that is running. @throws Error with the end of its log */
  start(): Promise<void>;
}

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  readonly code: number;
}

/** A real Kubernetes API server, and what tests and the demo need to use it. */
export interface ControlPlane {
  /** Path of a kubeconfig with every right (system:masters). */
  readonly kubeconfig: string;
  /** `https://127.0.0.1:<port>` */
  readonly url: string;
  /** Path of the PEM file that the API server's certificate is verified with. */
  readonly caFile: string;
  /** Temporary folder of this control plane: data, certificates, logs. Removed by `stop()`. */
  readonly folder: string;
  /** One JSON audit event a line; Secrets and tokens without their bodies, everything else with them. */
  readonly auditLogFile?: string;
  /** Path of the kubectl program. */
  readonly kubectl: string;
  /** Runs kubectl as the admin; a failing kubectl is a `code`, not an exception. */
  kubectlRun(args: readonly string[], options?: { readonly input?: string }): Promise<CommandResult>;
  /**
   * Path of a kubeconfig that acts as the ServiceAccount, whose token (24 h) comes from the TokenRequest API. Its
   * context's namespace is the ServiceAccount's. @throws Error with kubectl's words, as when there is no such account
   */
  serviceAccountKubeconfig(namespace: string, name: string): Promise<string>;
  readonly apiServer: Restartable;
  readonly etcd: Restartable;
  /** Garbage collector, namespace, service-account and ClusterRole-aggregation controllers. */
  readonly controllerManager?: Restartable;
  /** Stops everything and removes the folder. */
  stop(): Promise<void>;
}
