# The images that a node runs besides users' own: what kubeadm's static pods and kube-proxy need. One target each;
# `programs` holds what comes from Debian.
ARG DEBIAN
ARG KUBERNETES

FROM ${KUBERNETES} AS kubernetes

FROM ${DEBIAN} AS programs
RUN apt-get update --quiet \
 && apt-get install --quiet --yes --no-install-recommends \
        busybox-static catatonit conntrack etcd-server iptables \
 && apt-get clean
COPY copy-with-libraries /usr/local/bin/
RUN copy-with-libraries /etcd /usr/bin/etcd
RUN copy-with-libraries /kube-proxy /usr/sbin/conntrack /usr/sbin/xtables-nft-multi \
        /usr/lib/*/xtables/*.so \
 && for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do \
        ln -s xtables-nft-multi /kube-proxy/usr/sbin/$name; \
    done

# The process that holds a pod's namespaces open: catatonit waits for signals and reaps orphans.
FROM scratch AS pause
COPY --from=programs /usr/bin/catatonit /pause
ENTRYPOINT ["/pause", "-P"]

FROM scratch AS etcd
ENV PATH=/usr/bin
COPY --from=programs /etcd/ /
CMD ["etcd"]

FROM scratch AS kube-apiserver
ENV PATH=/usr/bin
COPY --from=kubernetes /kube-apiserver /usr/bin/
CMD ["kube-apiserver"]

FROM scratch AS kube-controller-manager
ENV PATH=/usr/bin
COPY --from=kubernetes /kube-controller-manager /usr/bin/
CMD ["kube-controller-manager"]

FROM scratch AS kube-scheduler
ENV PATH=/usr/bin
COPY --from=kubernetes /kube-scheduler /usr/bin/
CMD ["kube-scheduler"]

FROM scratch AS kube-proxy
ENV PATH=/usr/sbin:/usr/local/bin
COPY --from=programs /kube-proxy/ /
COPY --from=kubernetes /kube-proxy /usr/local/bin/
CMD ["kube-proxy"]

# The base of small images with a shell, in place of Docker Hub's image of the same name.
FROM scratch AS busybox
ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin
COPY --from=programs /bin/busybox /bin/
SHELL ["/bin/busybox", "sh", "-c"]
RUN /bin/busybox mkdir -p /etc /root /sbin /tmp /usr/bin /usr/sbin /var \
 && /bin/busybox chmod 1777 /tmp \
 && /bin/busybox --install -s /bin \
 && echo "root:x:0:0:root:/root:/bin/sh" > /etc/passwd \
 && echo "nobody:x:65534:65534:nobody:/:/bin/false" >> /etc/passwd
SHELL ["/bin/sh", "-c"]
CMD ["sh"]
