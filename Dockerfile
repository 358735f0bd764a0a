# One image from nothing: a static program, an own user, a directory for its state.
#
#   scripts/images build                                                  everything
#   docker build --build-arg SERVICE=siglab-fulcio --tag siglab/fulcio .  one service
#
# SERVICE is siglab (everything in one process) or siglab-NAME, a file of target/static/images, which
# scripts/images fills. There is no shell in the image; the program checks its own health.
FROM scratch
ARG SERVICE=siglab
COPY --chown=65532:65532 target/static/images/data /data
COPY target/static/images/${SERVICE} /siglab
USER 65532:65532
ENTRYPOINT ["/siglab"]
