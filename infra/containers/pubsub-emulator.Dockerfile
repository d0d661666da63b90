# Google's Pub/Sub emulator for compose.yaml. Its version 0.8.20 never closes a streaming pull whose client has gone; one class
# in front of its jar corrects that (docs/pubsub-emulator.md).
#
# Where the SDK is in its image was read in GoogleCloudPlatform/cloud-sdk-docker (November 2026), not tried.
FROM gcr.io/google.com/cloudsdktool/google-cloud-cli:528.0.0-emulators AS sdk

FROM eclipse-temurin:17.0.15_6-jdk
WORKDIR /emulator
COPY --from=sdk /google-cloud-sdk/platform/pubsub-emulator/lib /emulator/lib
COPY xtask/src/services/emulator/InternalStatus.java /emulator/
RUN javac -cp "$(echo lib/*.jar)" -d classes InternalStatus.java
USER 65532:65532
EXPOSE 8085
ENTRYPOINT ["java", "-cp", "classes:lib/*", "com.google.cloud.pubsub.testing.v1.Main"]
CMD ["--host=0.0.0.0", "--port=8085"]
