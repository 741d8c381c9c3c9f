# The images that a node runs and that hold programs of Debian, one target each. The context holds kube-proxy.
ARG DEBIAN

FROM ${DEBIAN} AS packages
RUN apt-get update --quiet \
 && apt-get install --quiet --yes --no-install-recommends catatonit conntrack iptables \
 && apt-get clean
COPY copy-with-libraries /usr/local/bin/
RUN copy-with-libraries /kube-proxy /usr/sbin/conntrack /usr/sbin/xtables-nft-multi /usr/lib/*/xtables/*.so \
 && for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do \
        ln -s xtables-nft-multi /kube-proxy/usr/sbin/$name; \
    done

# The process that holds a pod's namespaces open: catatonit waits for signals and reaps orphans.
FROM scratch AS pause
COPY --from=packages /usr/bin/catatonit /pause
ENTRYPOINT ["/pause", "-P"]

FROM scratch AS kube-proxy
ENV PATH=/usr/sbin:/usr/local/bin
COPY --from=packages /kube-proxy/ /
COPY kube-proxy /usr/local/bin/
CMD ["kube-proxy"]
