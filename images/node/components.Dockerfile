# The images that a node runs besides users' own: what kubeadm's static pods and kube-proxy need. One target each;
# `programs` holds what comes from Debian.
ARG DEBIAN
ARG KUBERNETES

FROM ${DEBIAN} AS programs
RUN apt-get update --quiet \
 && apt-get install --quiet --yes --no-install-recommends catatonit conntrack etcd-server iptables \
 && apt-get clean
COPY copy-with-libraries /usr/local/bin/
RUN copy-with-libraries /etcd /usr/bin/etcd
RUN copy-with-libraries /kube-proxy /usr/sbin/conntrack /usr/sbin/xtables-nft-multi /usr/lib/*/xtables/*.so \
 && for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do \
        ln -s xtables-nft-multi /kube-proxy/usr/sbin/$name; \
    done

# After `programs`, which can so be made while Kubernetes is still being built.
FROM ${KUBERNETES} AS kubernetes

# The process that holds a pod's namespaces open: catatonit waits for signals and reaps orphans.
FROM scratch AS pause
COPY --from=programs /usr/bin/catatonit /pause
ENTRYPOINT ["/pause", "-P"]

FROM scratch AS etcd
ENV PATH=/usr/bin
COPY --from=programs /etcd/ /
CMD ["etcd"]

FROM scratch AS kube-apiserver
ENV PATH=/usr/local/bin
COPY --from=kubernetes /kube-apiserver /usr/local/bin/
CMD ["kube-apiserver"]

FROM scratch AS kube-controller-manager
ENV PATH=/usr/local/bin
COPY --from=kubernetes /kube-controller-manager /usr/local/bin/
CMD ["kube-controller-manager"]

FROM scratch AS kube-scheduler
ENV PATH=/usr/local/bin
COPY --from=kubernetes /kube-scheduler /usr/local/bin/
CMD ["kube-scheduler"]

FROM scratch AS kube-proxy
ENV PATH=/usr/sbin:/usr/local/bin
COPY --from=programs /kube-proxy/ /
COPY --from=kubernetes /kube-proxy /usr/local/bin/
CMD ["kube-proxy"]
