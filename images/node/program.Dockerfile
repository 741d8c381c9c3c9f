# The image of one static program, which lies in the context: etcd, kube-apiserver and the like. kubeadm's static
# pods start it by its bare name.
FROM scratch
ENV PATH=/usr/local/bin
COPY * /usr/local/bin/
