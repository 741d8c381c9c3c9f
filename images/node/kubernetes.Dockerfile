# Kubernetes' programs, built from Debian's source package. Six minutes on two cores, hence an image of its
# own: a change to the node image does not build them again.
ARG DEBIAN
FROM ${DEBIAN} AS build
RUN apt-get update --quiet \
 && apt-get install --quiet --yes --no-install-recommends \
        dpkg-dev golang-go golang-github-json-iterator-go-dev golang-github-modern-go-reflect2-dev jq rsync \
 && apt-get clean
COPY build-kubernetes /usr/local/bin/
COPY kubelet-97980.patch /
ARG KUBERNETES_VERSION
# One step that leaves only the programs behind: sources and build cache take 3 GB.
RUN build-kubernetes "${KUBERNETES_VERSION}" /kubelet-97980.patch

FROM scratch
COPY --from=build /out/ /
