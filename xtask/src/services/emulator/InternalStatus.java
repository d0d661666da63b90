package io.grpc;

/**
 * Goes in front of the Pub/Sub emulator's jar. Version 0.8.20 holds two versions of gRPC: its server calls
 * asRuntimeException(Status, Metadata, boolean), which its InternalStatus no longer has. So a streaming pull that is
 * cancelled, or whose client dies, ends in a NoSuchMethodError, is never closed, and goes on taking messages for nobody.
 */
public final class InternalStatus {
  private InternalStatus() {}

  public static final Metadata.Key<String> MESSAGE_KEY = Status.MESSAGE_KEY;
  public static final Metadata.Key<Status> CODE_KEY = Status.CODE_KEY;

  public static StatusRuntimeException asRuntimeExceptionWithoutStacktrace(Status status, Metadata trailers) {
    return new StatusRuntimeException(status, trailers);
  }

  public static StatusRuntimeException asRuntimeException(
      Status status, Metadata trailers, boolean fillInStackTrace) {
    return new StatusRuntimeException(status, trailers);
  }
}
